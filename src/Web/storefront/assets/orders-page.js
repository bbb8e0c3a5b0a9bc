// Orders: newest first, the status in words, the time left to pay counted on the server's clock.

import { Problem, Unreachable } from './api.js';
import { everySecond, measure, now } from './clock.js';
import { byId, h, setText } from './dom.js';
import { emptyState, errorState } from './error-state.js';
import { digits, moment, money, number, secondsUntil } from './format.js';
import { icon } from './icons.js';
import { statusOf } from './order.js';
import { showPicture } from './picture.js';
import { poll } from './poll.js';
import { SignInElsewhere, callAsUser } from './session.js';

const READ_AGAIN_MS = 10_000;
const rows = new Map();

let orders = new Map();
let moreCursor = null;

byId('more').addEventListener('click', readMore);
start();

async function start() {
  try {
    await Promise.all([ask(), measure()]);
  } catch (error) {
    fail(error);
    return;
  }
  byId('failure').replaceChildren();
  poll(ask, { delayMs: () => READ_AGAIN_MS, onFailure: lost });
  everySecond(tick);
}

async function ask() {
  const { body } = await callAsUser('/v1/orders');
  if (orders.size === 0) moreCursor = body.nextCursor;
  orders = new Map([...body.items.map(order => [order.id, order]), ...[...orders].filter(([id]) => !body.items.some(order => order.id === id))]);
  byId('heard').hidden = true;
  show();
}

async function readMore() {
  const more = byId('more');
  more.setAttribute('aria-disabled', 'true');
  try {
    const { body } = await callAsUser(`/v1/orders?cursor=${encodeURIComponent(moreCursor)}`);
    for (const order of body.items) orders.set(order.id, order);
    moreCursor = body.nextCursor;
    show();
  } catch (error) {
    lost(error);
  }
  more.setAttribute('aria-disabled', 'false');
}

function show() {
  const list = byId('orders');
  const elements = [...orders.values()].map(order => {
    if (!rows.has(order.id)) rows.set(order.id, row(order));
    rows.get(order.id).show(order);
    return rows.get(order.id).element;
  });
  if (elements.length !== list.children.length || elements.some((element, i) => element !== list.children[i])) list.replaceChildren(...elements);
  byId('nothing').replaceChildren(...(elements.length > 0 ? [] : [
    emptyState('receipt', 'No orders yet', 'When you buy in a sale, your order appears here with the time you have to pay.', { href: '/', text: 'See the sales' }),
  ]));
  byId('more').hidden = moreCursor === null;
  list.removeAttribute('aria-busy');
}

function tick() {
  for (const order of orders.values()) rows.get(order.id)?.tick(order);
}

function row(order) {
  const image = h('img', { class: 'order-picture', alt: '', width: 72, height: 72 });
  showPicture(image, order.sku);
  const status = h('p', { class: 'status' });
  const left = h('p', { class: 'order-left' });
  const units = order.units === 1 ? '' : `${number(order.units)} × `;
  const element = h('li', { class: 'order' }, image,
    h('div', { class: 'order-what' },
      h('h2', {}, h('a', { class: 'card-link', href: `/orders/${order.id}` }, `${units}${order.title}`)),
      h('p', { class: 'order-when' }, `${money(order.amountCents, order.currency)} · ${moment(order.createdAt)}`)),
    h('div', { class: 'order-state' }, status, left));
  let stateShown = null;
  const tick = ({ state, payBy }) => setText(left, state === 'pending' ? `Pay within ${digits(secondsUntil(payBy, now()))}` : '\u00a0');
  return {
    element,
    tick,
    show(current) {
      tick(current);
      if (stateShown === current.state) return;
      stateShown = current.state;
      const { icon: iconName, tone, words } = statusOf(current);
      status.dataset.tone = tone;
      status.replaceChildren(icon(iconName), h('span', {}, words));
    },
  };
}

function lost(error) {
  if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  byId('heard').hidden = false;
}

function fail(error) {
  const elsewhere = error instanceof SignInElsewhere;
  if (!elsewhere && !(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  byId('orders').replaceChildren();
  byId('failure').replaceChildren(elsewhere
    ? emptyState('receipt', 'Log in to see your orders', 'Or look where this shop signs its customers in.', { href: '/account', text: 'Log in' })
    : errorState(error, { title: 'Your orders did not load', retry: start }));
}
