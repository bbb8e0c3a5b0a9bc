// The one button. Its states differ in words, in icon and in shape (see .buy in shop.css), so that neither
// colour nor position is needed to tell them apart. It is never really disabled: a disabled button drops the
// keyboard focus in the very second that matters. `aria-disabled` says the same and keeps the focus.

import { h } from './dom.js';
import { icon } from './icons.js';

/** @param {() => void} onPress Called only in a state that can be pressed. */
export function buyButton(onPress) {
  const iconPlace = h('span', { class: 'buy-icon' });
  const words = h('span', { class: 'buy-words' });
  // The running digits are for the eye; the ear gets the coarse time, or it would hear a number every second.
  const eye = h('span', { class: 'buy-time', 'aria-hidden': 'true' });
  const ear = h('span', { class: 'for-ears' });
  const element = h('button', { class: 'buy', type: 'button', 'aria-disabled': 'true' },
    iconPlace, h('span', { class: 'buy-label' }, words, eye, ear));
  element.addEventListener('click', () => {
    if (element.getAttribute('aria-disabled') !== 'true') onPress();
  });

  let shownIcon = null;
  return {
    element,
    /** @param {{look: string, icon: string, words: string, eye?: string, ear?: string, pressable?: boolean}} view */
    show(view) {
      element.dataset.look = view.look;
      element.setAttribute('aria-disabled', String(!view.pressable));
      element.setAttribute('aria-busy', String(view.look === 'holding'));
      if (shownIcon !== view.icon) {
        iconPlace.replaceChildren(icon(view.icon));
        shownIcon = view.icon;
      }
      set(words, view.words);
      set(eye, view.eye ? ` ${view.eye}` : '');
      set(ear, view.ear ? ` ${view.ear}` : '');
    },
  };
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
