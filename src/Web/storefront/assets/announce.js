// What a screen reader is told. One polite region per page; the last ten seconds of a countdown are spoken
// one by one, before that once a minute.

import { h } from './dom.js';
import { spoken } from './format.js';

const region = h('p', { class: 'for-ears', role: 'status', 'aria-live': 'polite' });
document.body.append(region);

export function announce(text) {
  region.textContent = text;
}

/** Speaks a countdown politely: `say` gets the time left in words. */
export function countdownVoice(say) {
  let lastSpoken = null;
  return seconds => {
    const words = seconds === 0 ? null : seconds <= 10 ? String(seconds) : spoken(seconds);
    // The first value is on the page already, where a screen reader finds it.
    if (words !== null && lastSpoken !== null && words !== lastSpoken) announce(seconds <= 10 ? words : say(words));
    lastSpoken = words;
  };
}
