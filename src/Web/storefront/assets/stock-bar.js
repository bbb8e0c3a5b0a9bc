// How much is left, as a bar and in words. A <progress> carries both for the eye and for a screen reader.

import { h, setText } from './dom.js';
import { isLastOnes, stockWords } from './sale.js';

export function stockBar() {
  const words = h('span', { class: 'stock-words' }, '\u00a0');
  const bar = h('progress', { class: 'stock-bar', max: 1, value: 0 });
  const element = h('div', { class: 'stock' }, words, bar);
  return {
    element,
    show(sale, stage) {
      setText(words, stockWords(sale, stage));
      bar.max = Math.max(1, sale.stockUnits);
      // While it runs the bar shows what is left; afterwards, as its words do, what was taken.
      const taken = stage === 'closed';
      bar.value = Math.max(0, taken ? sale.stockUnits - sale.leftUnits : sale.leftUnits);
      bar.setAttribute('aria-label', taken ? 'Units taken' : 'Units left');
      const level = stage === 'open' && isLastOnes(sale) ? 'last' : stage === 'open' ? 'flowing' : 'still';
      element.dataset.level = level;
    },
  };
}
