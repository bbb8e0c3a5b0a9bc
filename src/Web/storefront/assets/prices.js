// Prices in a page that came ready: the same amounts, in the visitor's own way of writing them.

import { money } from './format.js';

export function localizePrices(root = document) {
  for (const amount of root.querySelectorAll('data[data-currency]')) {
    try {
      amount.textContent = money(Number(amount.value), amount.dataset.currency);
    } catch (error) {
      // A currency that this browser does not know stays as it was written.
      if (!(error instanceof RangeError)) throw error;
    }
  }
}
