// A price, with the former one struck beside it when there was one.

import { h } from './dom.js';
import { money } from './format.js';

export function price(sale) {
  const former = sale.listPriceCents > sale.priceCents
    ? [h('span', { class: 'for-ears' }, 'instead of '), h('s', { class: 'price-former' }, money(sale.listPriceCents, sale.currency))]
    : [];
  return h('p', { class: 'price' }, h('span', { class: 'price-now' }, money(sale.priceCents, sale.currency)), ' ', ...former);
}
