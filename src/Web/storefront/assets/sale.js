// What a sale is right now, from the last thing the server said and the server's clock.

import { number } from './format.js';

const LAST_ONES_SHARE = 0.05;
const LAST_ONES_MAX = 20;

/**
 * draft, scheduled, open, sold-out, paused or closed.
 * The clock may be ahead of the last answer: at `opensAt` the button opens without waiting for the next
 * poll, so that thousands of visitors do not have to ask at that very second. The server still decides.
 */
export function stageOf(sale, nowMs) {
  if (sale.closesAt && nowMs >= Date.parse(sale.closesAt) && sale.state !== 'draft') return 'closed';
  const state = sale.state === 'scheduled' && sale.opensAt && nowMs >= Date.parse(sale.opensAt) ? 'open' : sale.state;
  return state === 'open' && sale.soldOut ? 'sold-out' : state;
}

/** The moment the stage will change by itself, or null. */
export function nextMoment(sale, stage) {
  if (stage === 'scheduled') return sale.opensAt;
  if (stage === 'open' || stage === 'sold-out' || stage === 'paused') return sale.closesAt ?? null;
  return null;
}

/** Stock in honest words. */
export function stockWords(sale, stage) {
  const left = number(sale.leftUnits);
  const of = number(sale.stockUnits);
  if (stage === 'draft' || stage === 'scheduled') return `${of} in this sale`;
  if (stage === 'closed') return `${number(sale.stockUnits - sale.leftUnits)} of ${of} taken`;
  if (sale.leftUnits <= 0 || stage === 'sold-out') return `Sold out: all ${of} taken`;
  if (isLastOnes(sale)) return `Last ones: ${left} of ${of} left`;
  return `${left} of ${of} left`;
}

export const isLastOnes = sale =>
  sale.leftUnits > 0 && sale.leftUnits <= Math.max(1, Math.min(LAST_ONES_MAX, sale.stockUnits * LAST_ONES_SHARE));

/** The id in /sales/{id}, /sales/{id}/certificate or /orders/{id}. */
export function idFromPath() {
  return decodeURIComponent(location.pathname.split('/')[2] ?? '');
}
