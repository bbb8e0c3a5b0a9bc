// One order: its status in words, the time left to pay, Pay, and Cancel with a question first.

import { announce, countdownVoice } from './announce.js';
import { Problem, Unreachable } from './api.js';
import { settledClaim } from './claim.js';
import { everySecond, measure, now } from './clock.js';
import { fits, offOf, readUsable, redeem, takeOff } from './coupon.js';
import { byId, h, setText } from './dom.js';
import { errorState } from './error-state.js';
import { explain } from './explain.js';
import { digits, exactMoment, money, number, secondsUntil } from './format.js';
import { icon } from './icons.js';
import { cancel, pay, readOrder, statusOf, timelineOf } from './order.js';
import { showPicture } from './picture.js';
import { poll } from './poll.js';
import { idFromPath } from './sale.js';
import { SignInElsewhere } from './session.js';

const READ_AGAIN_MS = 10_000;
const READ_OVERDUE_MS = 2_000;

const orderId = encodeURIComponent(idFromPath());
const voice = countdownVoice(words => `${words} left to pay`);

let order = null;
let coupons = [];
let couponShown = null;
let polling = null;
let busy = false;
let stateShown = null;

byId('pay').addEventListener('click', () => act(payNow));
byId('cancel').addEventListener('click', () => byId('confirm').showModal());
byId('coupon').addEventListener('submit', event => {
  event.preventDefault();
  act(order.couponId ? leaveCoupon : useCoupon);
});
byId('keep').addEventListener('click', () => byId('confirm').close());
byId('give-back').addEventListener('click', () => {
  byId('confirm').close();
  act(giveBack);
});
start();

async function start() {
  try {
    [order, coupons] = await Promise.all([firstReading(), couponsOrNone(), measure()]);
  } catch (error) {
    fail(error);
    return;
  }
  byId('failure').replaceChildren();
  showUnchanging();
  show();
  byId('loading').hidden = true;
  byId('order').hidden = false;
  polling = poll(ask, { delayMs, onFailure: lost });
  everySecond(tick, () => Date.parse(order.payBy));
}

// The order's id is the claim's id, and a claim is known a moment before its order is written: wait for it.
async function firstReading() {
  try {
    return await readOrder(orderId);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    const claim = await settledClaim(orderId, () => {}, new URLSearchParams(location.search).get('pool'));
    return claim.order ?? readOrder(orderId);
  }
}

// An order is shown also where coupons cannot be asked for.
async function couponsOrNone() {
  try {
    return await readUsable();
  } catch (error) {
    if (!(error instanceof Problem) && !(error instanceof Unreachable) && !(error instanceof SignInElsewhere)) throw error;
    return [];
  }
}

async function ask() {
  if (busy) return;
  order = await readOrder(orderId);
  byId('heard').hidden = true;
  show();
}

function delayMs() {
  return order.state === 'pending' && secondsUntil(order.payBy, now()) === 0 ? READ_OVERDUE_MS : READ_AGAIN_MS;
}

function tick() {
  if (order.state !== 'pending') return;
  const seconds = secondsUntil(order.payBy, now());
  setText(byId('left-value'), digits(seconds));
  voice(seconds);
  if (seconds === 0) setText(byId('left-label'), 'The time to pay is over. Asking the shop…');
}

function showUnchanging() {
  showPicture(byId('picture'), order.sku);
  setText(byId('title'), order.units === 1 ? order.title : `${number(order.units)} × ${order.title}`);
  const isSale = order.kind === 'flash-sale';
  byId('sale-link').href = isSale ? `/sales/${encodeURIComponent(order.saleId)}` : `/products/${encodeURIComponent(order.sku)}`;
  setText(byId('sale-link'), isSale ? 'Back to the sale' : 'Back to the product');
  const facts = [
    ['Order', order.id],
    ['Units', number(order.units)],
    ['Price each', money(order.priceCents, order.currency)],
    ['Ordered', exactMoment(order.createdAt)],
    ['Pay by', exactMoment(order.payBy)],
  ];
  byId('facts').replaceChildren(...facts.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}

function showAmount() {
  const [toPay, off] = [order.amountCents, order.discountCents].map(cents => money(cents, order.currency));
  setText(byId('amount'), order.discountCents > 0 ? `${toPay}, ${off} off with a coupon` : toPay);
  setText(byId('pay-words'), `Pay ${toPay}`);
}

function showCoupon() {
  const offered = order.couponId ? [] : coupons.filter(coupon => fits(coupon, order, now()));
  const shown = order.state !== 'pending' ? '' : order.couponId ? `has ${order.couponId}` : offered.map(coupon => coupon.id).join();
  if (couponShown === shown) return;
  couponShown = shown;
  byId('coupon').hidden = shown === '';
  byId('coupon-offer').hidden = Boolean(order.couponId);
  byId('coupon-has').hidden = !order.couponId;
  setText(byId('coupon-has'), order.couponId ? `A coupon takes ${money(order.discountCents, order.currency)} off this order.` : '');
  setText(byId('coupon-do'), order.couponId ? 'Take it off' : 'Use it');
  byId('coupon-choice').replaceChildren(...offered.map(coupon => h('option', { value: coupon.id }, `${offOf(coupon)}: ${coupon.title}`)));
}

function showTimeline() {
  // An answer of paying or cancelling has none; the next reading has.
  if (!order.timeline || byId('timeline').children.length === order.timeline.length) return;
  byId('timeline').replaceChildren(...timelineOf(order).map(({ words, at }) => h('li', {}, h('span', {}, words), h('time', { datetime: at }, exactMoment(at)))));
}

function show() {
  showAmount();
  showCoupon();
  showTimeline();
  if (stateShown === order.state) return;
  const { icon: iconName, tone, words, more } = statusOf(order);
  const pending = order.state === 'pending';
  byId('order').dataset.state = order.state;
  byId('status').dataset.tone = tone;
  byId('status').replaceChildren(icon(iconName), h('span', {}, words));
  setText(byId('left-label'), pending ? 'Time left to pay' : more);
  setText(byId('left-value'), pending ? digits(secondsUntil(order.payBy, now())) : words);
  // The two buttons keep their place when they are gone, so that the page does not move under a finger.
  byId('do').dataset.gone = String(!pending);
  if (stateShown === null) byId('do').hidden = !pending;
  for (const name of ['pay', 'cancel']) byId(name).disabled = !pending;
  document.title = `${words}: ${order.title} · Sluice`;
  if (stateShown !== null) {
    announce(`${words}. ${more}`);
    setText(byId('notice'), '');
    byId('title').focus();
  }
  stateShown = order.state;
}

async function act(action) {
  if (busy) return;
  busy = true;
  byId('do').setAttribute('aria-busy', 'true');
  setText(byId('notice'), 'One moment…');
  let notice;
  try {
    notice = await action();
  } catch (error) {
    if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
    notice = error.status === 404 || error.status === 403 ? 'This shop takes payment elsewhere. Follow the way it told you.' : explain(error);
  }
  busy = false;
  byId('do').removeAttribute('aria-busy');
  show();
  setText(byId('notice'), notice);
  if (notice) announce(notice);
  polling.now();
}

async function payNow() {
  const { order: after, outcome } = await pay(orderId);
  order = after;
  return outcome === 'refund-due' ? 'The order had already ended, so the money goes back to you.' : '';
}

async function useCoupon() {
  order = await redeem(orderId, byId('coupon-choice').value);
  return `Used: ${money(order.discountCents, order.currency)} less to pay.`;
}

async function leaveCoupon() {
  order = await takeOff(orderId);
  coupons = await couponsOrNone();
  return 'Taken off. You can use the coupon elsewhere.';
}

async function giveBack() {
  order = await cancel(orderId);
  return '';
}

function lost(error) {
  if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  byId('heard').hidden = false;
}

function fail(error) {
  const elsewhere = error instanceof SignInElsewhere;
  if (!elsewhere && !(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  byId('loading').hidden = true;
  byId('order').hidden = true;
  byId('failure').replaceChildren(elsewhere
    ? errorState(error, { level: 'h1', title: 'Log in to see your order' })
    : error.status === 404
      ? errorState(new Problem(404, { detail: 'It is not among the orders of this browser. Orders made here are listed under “Your orders”.' }, null), { level: 'h1', title: 'There is no such order' })
      : errorState(error, { level: 'h1', title: 'The order did not load', retry: start }));
}
