// The error state of a page or a list: one sentence, what to do, and a button that does it.

import { Unreachable } from './api.js';
import { h } from './dom.js';
import { explain } from './explain.js';
import { icon } from './icons.js';

/**
 * @param {{title: string, level?: string, retry?: () => void}} options `level` is `h1` where the sentence stands for the
 *   whole page. Without `retry` there is nothing a second try would change.
 */
export function errorState(error, { title, level = 'h2', retry } = {}) {
  return h('div', { class: 'state state-error', role: 'alert' },
    icon(error instanceof Unreachable ? 'offline' : 'warn'),
    h(level, {}, title),
    h('p', {}, explain(error)),
    retry ? h('button', { class: 'button-quiet', type: 'button', onclick: retry }, 'Try again') : null);
}

/** The empty state: what will appear here, and how. */
export function emptyState(iconName, title, text, link) {
  return h('div', { class: 'state' },
    icon(iconName),
    h('h2', {}, title),
    h('p', {}, text),
    link ? h('a', { class: 'button-quiet', href: link.href }, link.text) : null);
}
