// Elements are built, never parsed: data from the server can only ever become text, so a title with
// markup in it is shown as it was written.

/** Makes an element. `on…` keys become listeners, `hidden` and other booleans become attributes, strings become text. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

/** Sets a text only when it changed, so that a screen reader and the layout have nothing to do when nothing happened. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const byId = id => document.getElementById(id);
