// A list of products came ready with its first page; more come when somebody asks for them.

import { Problem, Unreachable, call } from './api.js';
import { byId, h } from './dom.js';
import { money } from './format.js';
import { localizePrices } from './prices.js';

localizePrices();
const list = byId('products');
let next = list?.dataset.more;
if (next) {
  byId('more').hidden = false;
  byId('more').addEventListener('click', readMore);
}

async function readMore() {
  const more = byId('more');
  more.setAttribute('aria-disabled', 'true');
  try {
    const { body } = await call(next);
    const cards = body.items.map(card);
    list.append(...cards);
    cards[0]?.querySelector('a').focus();
    if (body.nextCursor) {
      const url = new URL(next, location.origin);
      url.searchParams.set('cursor', body.nextCursor);
      next = url.pathname + url.search;
    } else {
      more.hidden = true;
    }
  } catch (error) {
    if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
    more.textContent = 'That did not work. Try again';
  }
  more.setAttribute('aria-disabled', 'false');
}

function card(product) {
  const price = product.prices.find(one => one.kind === 'retail') ?? product.prices[0];
  return h('li', { class: 'card' },
    h('div', { class: 'card-picture' }, h('img', { src: product.imageUrl ?? '/img/fallback.svg', alt: '', width: 320, height: 320, decoding: 'async', loading: 'lazy' })),
    h('div', { class: 'card-body' },
      h('h2', { class: 'card-title' }, h('a', { class: 'card-link', href: `/products/${product.sku}` }, product.title)),
      price ? h('p', { class: 'price' }, h('span', { class: 'price-now' }, money(price.amountCents, price.currency))) : null));
}
