// Asks again and again, politely: never while the tab is hidden (unless somebody asked to be told), never in
// step with other visitors, and never sooner than the server wished.

import { Problem } from './api.js';

const JITTER = 0.2;
const AFTER_FAILURE_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

/**
 * @param {() => Promise<void>} ask One question. It may throw Problem or Unreachable.
 * @param {{delayMs: () => number, onFailure: (error: Error) => void, whileHidden?: () => boolean}} how
 * @returns {{now: () => void}} `now` asks at once, for example when a countdown has ended.
 */
export function poll(ask, { delayMs, onFailure, whileHidden = () => false }) {
  let timer = null;
  let asking = false;
  let failures = 0;

  const schedule = ms => {
    clearTimeout(timer);
    if (document.visibilityState === 'hidden' && !whileHidden()) return; // the visibilitychange below starts it again
    timer = setTimeout(run, ms * (1 + JITTER * (2 * Math.random() - 1)));
  };

  async function run() {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    let pause;
    try {
      await ask();
      failures = 0;
      pause = delayMs();
    } catch (error) {
      onFailure(error);
      pause = AFTER_FAILURE_MS[Math.min(failures++, AFTER_FAILURE_MS.length - 1)];
      if (error instanceof Problem && error.retryAfterMs !== null) pause = Math.max(pause, error.retryAfterMs);
    }
    asking = false;
    schedule(pause);
  }

  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') run();
  });
  window.addEventListener('online', run);
  schedule(delayMs());
  return { now: run };
}
