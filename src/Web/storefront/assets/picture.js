// A product's picture. The shop may give one on this origin; otherwise the parcel stands in, so a card
// never shows a broken image and no page ever asks another host for one.

import { Problem, Unreachable, call } from './api.js';

const FALLBACK = '/img/fallback.svg';
const products = new Map();

/** The product of a SKU, asked for once per page view; `null` when the shop described none. */
export function product(sku) {
  if (!products.has(sku)) {
    products.set(sku, call(`/v1/products/${encodeURIComponent(sku)}`).then(
      answer => answer.body,
      error => {
        if (error instanceof Problem || error instanceof Unreachable) return null;
        throw error;
      }));
  }
  return products.get(sku);
}

/** Fills an <img> with the product's picture. The image is decorative: the title stands beside it. */
export async function showPicture(image, sku) {
  image.addEventListener('error', () => { image.src = FALLBACK; }, { once: true });
  const found = await product(sku);
  image.src = onThisOrigin(found?.imageUrl) ?? FALLBACK;
  image.removeAttribute('data-pending');
}

function onThisOrigin(url) {
  if (!url) return null;
  const resolved = new URL(url, location.origin);
  return resolved.origin === location.origin ? resolved.href : null;
}
