// Taking a unit, and following what becomes of it.
//
// The one rule: a claim whose answer was lost must never become a second claim. So an attempt gets its
// Idempotency-Key once, the key is written to the tab's storage before the first request leaves, and every
// retry (network error, 503, 429, a reload) sends the same key until the server has said yes or no.

import { Problem, Unreachable } from './api.js';
import { callAsUser, session } from './session.js';
import { forThisTab, lasting } from './store.js';

const TRIES_MAX = 12;
const PAUSE_MS = [1_000, 2_000, 4_000, 8_000];
const WAIT_S = 20;

const attemptKey = offerId => `sluice.attempt.${offerId}`;
const CLAIMS = 'sluice.claims';

/**
 * What is bought: its id in this browser, where to ask, and what is asked for.
 * @typedef {{id: string, path: string, json: object}} Offer
 */

/** One unit of a sale. @returns {Offer} */
export const saleOffer = saleId => ({ id: saleId, path: `/v1/flash-sales/${saleId}/claims`, json: { units: 1 } });

/** Units of a product outside of a sale, at the price that the visitor sees. @returns {Offer} */
export const productOffer = (sku, json) => ({ id: `product.${sku}`, path: `/v1/products/${encodeURIComponent(sku)}/claims`, json });

/** True when an earlier page view asked for it and never heard the answer. */
export const hasOpenAttempt = offerId => forThisTab.read(attemptKey(offerId)) !== null;

/** The claim this visitor is known to have in a sale, or null. */
export function rememberedClaim(saleId) {
  return lasting.read(CLAIMS)?.[saleId] ?? null;
}

export function rememberClaim(saleId, claimId) {
  lasting.write(CLAIMS, { ...lasting.read(CLAIMS), [saleId]: claimId });
}

export function forgetClaim(saleId) {
  const { [saleId]: _, ...rest } = lasting.read(CLAIMS) ?? {};
  lasting.write(CLAIMS, rest);
}

/**
 * Claims what is offered. Settles only when the answer is known: the claim, or a Problem that means "no".
 * An attempt that was left open goes on with what was asked for then, whatever is offered by now.
 * @param {Offer} offer
 * @param {(pauseMs: number, error: Error) => void} onPause Called before each retry.
 * @throws {Problem|Unreachable} Unreachable, and Problem 429 or 503, leave the attempt open: calling again goes on with the same key.
 */
export async function claimUnits(offer, onPause) {
  const attempt = forThisTab.read(attemptKey(offer.id)) ?? { key: newKey(), json: offer.json };
  forThisTab.write(attemptKey(offer.id), attempt);
  await session();

  for (let tried = 1; ; tried++) {
    try {
      const { body } = await callAsUser(offer.path, {
        method: 'POST', json: attempt.json, headers: { 'Idempotency-Key': attempt.key },
      });
      forThisTab.remove(attemptKey(offer.id));
      return body;
    } catch (error) {
      if (!isUnsettled(error)) {
        forThisTab.remove(attemptKey(offer.id));
        throw error;
      }
      if (tried === TRIES_MAX) throw error;
      const pauseMs = (error.retryAfterMs ?? PAUSE_MS[Math.min(tried - 1, PAUSE_MS.length - 1)]) * (1 + Math.random() / 4);
      onPause(pauseMs, error);
      await pause(pauseMs);
    }
  }
}

// Not accepted yet, or not known: worth asking again with the same key. `not-open` with a Retry-After is
// a browser that is a few milliseconds ahead of the server.
function isUnsettled(error) {
  if (error instanceof Unreachable) return true;
  if (!(error instanceof Problem)) return false;
  return error.status === 429 || error.status >= 500 || (error.code === 'not-open' && error.retryAfterMs !== null && error.retryAfterMs <= 2_000);
}

// Not crypto.randomUUID: it is missing where a page is served without TLS.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');
}

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/**
 * Answers the claim once it is no longer `held`; `onHeld` hears that it still is. Goes on through failures.
 * @param {string|null} poolId Of what it is, where the server cannot know: a product's stock.
 */
export async function settledClaim(claimId, onHeld, poolId = null) {
  for (let failures = 0; ;) {
    try {
      const { body } = await callAsUser(`/v1/claims/${claimId}?wait=${WAIT_S}${poolId ? `&pool=${encodeURIComponent(poolId)}` : ''}`, { waitMs: WAIT_S * 1000 });
      if (body.state !== 'held') return body;
      failures = 0;
      onHeld(body);
      await pause(PAUSE_MS[0]); // a server that does not wait must not be asked in a tight loop
    } catch (error) {
      if (error instanceof Problem && error.status !== 429 && error.status < 500) throw error;
      await pause(error.retryAfterMs ?? PAUSE_MS[Math.min(failures++, PAUSE_MS.length - 1)]);
    }
  }
}
