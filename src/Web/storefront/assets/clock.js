// The shop's clock as seen from this browser. A sale opens on the server's clock; a visitor's own clock may
// be minutes off and may be set while the page is open. So: ask the server a few times, believe the sample
// with the shortest round trip (its error is at most half of that), and count on from there with the
// browser's monotonic clock.

import { call } from './api.js';

const SAMPLES = 4;
const MEASURE_AGAIN_MS = 5 * 60_000;

let originMs = Date.now() - performance.now(); // server time at performance.now() = 0; the visitor's own clock until measured
let measuredAtMs = -Infinity;
let measuring = null;

/** Milliseconds since 1970 on the server's clock. */
export const now = () => originMs + performance.now();

/** Measures the offset; rejects (Unreachable, Problem) only when not one sample came back. */
export function measure() {
  measuring ??= sample().finally(() => { measuring = null; });
  return measuring;
}

async function sample() {
  let best = null;
  let failure = null;
  for (let i = 0; i < SAMPLES; i++) {
    const sent = performance.now();
    try {
      const { body } = await call('/v1/time');
      const received = performance.now();
      const roundTripMs = received - sent;
      if (best === null || roundTripMs < best.roundTripMs)
        best = { roundTripMs, originMs: Date.parse(body.now) - (sent + received) / 2 };
    } catch (error) {
      failure = error;
    }
  }
  if (best === null) throw failure;
  originMs = best.originMs;
  measuredAtMs = performance.now();
}

/** Calls back at once and then each time the seconds left to `targetMs()` change. */
export function everySecond(callback, targetMs = () => 0) {
  const tick = () => {
    callback();
    const phase = (((targetMs() ?? 0) - now()) % 1000 + 1000) % 1000;
    setTimeout(tick, phase + 4); // a hair after the turn, so that rounding shows the new second
  };
  tick();
}

// A laptop that slept comes back with a monotonic clock that may have stood still.
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') measureQuietly();
});
setInterval(() => {
  if (document.visibilityState === 'visible' && performance.now() - measuredAtMs > MEASURE_AGAIN_MS) measureQuietly();
}, MEASURE_AGAIN_MS / 5);

// A failed measurement keeps the previous offset; the page's own polling tells the visitor about a lost connection.
function measureQuietly() {
  measure().catch(error => console.warn('The clock was not measured again:', error.message));
}
