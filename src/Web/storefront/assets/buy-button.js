// The one button. Its states differ in words, in icon and in shape (see .buy in shop.css), so that neither
// colour nor position is needed to tell them apart. It is never really disabled: a disabled button drops the
// keyboard focus in the very second that matters. `aria-disabled` says the same and keeps the focus.

import { h, setText } from './dom.js';
import { icon } from './icons.js';

/** @param {() => void} onPress Called only in a state that can be pressed. */
export function buyButton(onPress) {
  // The running digits are for the eye; the ear gets the coarse time, or it would hear a number every second.
  const eye = h('span', { 'aria-hidden': 'true' });
  const ear = h('span', { class: 'for-ears' });
  const element = h('button', { class: 'buy', type: 'button' });
  element.addEventListener('click', () => {
    if (element.getAttribute('aria-disabled') !== 'true') onPress();
  });

  let shown = '';
  return {
    element,
    /** @param {{look: string, icon: string, words: string, eye?: string, ear?: string, pressable?: boolean}} view */
    show(view) {
      element.dataset.look = view.look;
      element.setAttribute('aria-disabled', String(!view.pressable));
      element.setAttribute('aria-busy', String(view.look === 'holding'));
      setText(eye, view.eye ? ` ${view.eye}` : '');
      setText(ear, view.ear ? ` ${view.ear}` : '');
      // New words are new elements, so that a label is exchanged and never seen sliding to its new middle.
      const content = `${view.icon} ${view.words} ${view.eye?.length}`;
      if (content === shown) return;
      shown = content;
      element.replaceChildren(icon(view.icon), h('span', {}, view.words, eye, ear));
    },
  };
}
