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

// As templates/products.liquid makes them.
function card(product) {
  const price = product.prices.find(one => one.kind === 'retail') ?? product.prices[0];
  const srcset = sourceSet(product.images[0]);
  return h('li', { class: 'card' },
    h('div', { class: 'card-picture' }, h('img', {
      src: product.imageUrl ?? '/img/fallback.svg', srcset, sizes: srcset && '(min-width: 44rem) 18rem, 8rem', alt: '', width: 320, height: 320, decoding: 'async', loading: 'lazy',
    })),
    h('div', { class: 'card-body' },
      h('h2', { class: 'card-title' }, h('a', { class: 'card-link', href: `/products/${product.sku}` }, product.title)),
      price ? priceLine(price) : null));
}

function priceLine({ currency, amountCents, formerCents }) {
  const amount = (look, cents) => h('data', { class: look, value: cents, 'data-currency': currency }, money(cents, currency));
  const former = formerCents > amountCents ? [' ', h('span', { class: 'for-ears' }, 'instead of'), ' ', h('s', {}, amount('price-former', formerCents))] : [];
  return h('p', { class: 'price' }, amount('price-now', amountCents), ...former);
}

// All widths of a picture, for the browser to choose from; the picture itself is one of them where its width is known.
function sourceSet(image) {
  if (!image?.sizes?.length) return null;
  const byWidth = new Map();
  for (const { url, width } of [...image.sizes, image]) if (width && !byWidth.has(width)) byWidth.set(width, url);
  return [...byWidth].sort(([a], [b]) => a - b).map(([width, url]) => `${url} ${width}w`).join(', ');
}
