// The sale page: reads the sale again and again, counts on the server's clock, and shows both through one
// view function. Nothing on it is added or taken away when the state changes, so nothing moves.

import { announce, countdownVoice } from './announce.js';
import { Problem, Unreachable, reader } from './api.js';
import { buyButton } from './buy-button.js';
import { everySecond, measure, now } from './clock.js';
import { byId, h, setText } from './dom.js';
import { errorState } from './error-state.js';
import { clockTime, moment } from './format.js';
import { icon } from './icons.js';
import { product, showPicture } from './picture.js';
import { poll } from './poll.js';
import { price } from './price.js';
import { Purchase } from './purchase.js';
import { idFromPath, nextMoment, stageOf } from './sale.js';
import { countdownOf, viewOf } from './sale-view.js';
import { stockBar } from './stock-bar.js';

const NEAR_OPENING_MS = 30_000;
const SOON_MS = 5 * 60_000;
const READ_ORDER_AGAIN_MS = 2_000;

const saleId = idFromPath();
const readSale = reader(`/v1/flash-sales/${encodeURIComponent(saleId)}`);
const stock = stockBar();
const purchase = new Purchase(saleId, purchaseChanged);
const button = buyButton(press);
const openingVoice = countdownVoice(words => `Opens in ${words}`);
const payingVoice = countdownVoice(words => `${words} left to pay`);

let sale = null;
let polling = null;
let watching = false;
let stage = null;
let lookShown = null;
let adviceShown = null;
let orderReadMs = 0;

byId('stock').replaceChildren(stock.element);
byId('buy-place').replaceChildren(button.element);
byId('certificate-link').href = `/sales/${encodeURIComponent(saleId)}/certificate`;
button.show({ look: 'loading', icon: 'clock', words: 'One moment…' });
start();

async function start() {
  try {
    [sale] = await Promise.all([readSale(), measure()]);
  } catch (error) {
    fail(error);
    return;
  }
  byId('failure').replaceChildren();
  byId('sale').hidden = false;
  showUnchanging();
  heard();
  show();
  polling = poll(ask, { delayMs, onFailure: lost, whileHidden: () => watching });
  everySecond(tick, nextChangeMs);
  await purchase.resume();
}

async function ask() {
  sale = await readSale() ?? sale;
  heard();
  show();
}

// Fast only where a second matters to the visitor: around the opening, and while units are going.
function delayMs() {
  if (purchase.state.kind === 'yours') return 5_000;
  if (stage === 'open' || watching) return 1_000;
  if (stage === 'sold-out' || stage === 'paused') return 3_000;
  if (stage === 'draft') return 5_000;
  if (stage === 'closed') return 15_000;
  const untilOpenMs = Date.parse(sale.opensAt) - now();
  return untilOpenMs < NEAR_OPENING_MS ? 1_000 : untilOpenMs < SOON_MS ? 5_000 : 15_000;
}

function nextChangeMs() {
  const { kind, order } = purchase.state;
  return Date.parse(kind === 'yours' && order.state === 'pending' ? order.payBy : nextMoment(sale, stage) ?? 0) || 0;
}

function tick() {
  show();
  const { kind, order } = purchase.state;
  // Only the server ends an order; when its time is over, ask until the server has said so.
  if (kind === 'yours' && order.state === 'pending' && now() > Date.parse(order.payBy) && now() - orderReadMs > READ_ORDER_AGAIN_MS) readOrderAgain();
}

async function readOrderAgain() {
  orderReadMs = now();
  try {
    await purchase.refresh();
  } catch (error) {
    if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
    lost(error);
  }
}

document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') readOrderAgain();
});

function press() {
  if (purchase.state.kind === 'yours') location.assign(`/orders/${purchase.state.order.id}`);
  else purchase.buy();
}

function purchaseChanged(state) {
  show();
  // A "no" usually means that the sale changed; look at once instead of offering the same again.
  if (state.kind === 'idle' && state.notice) polling?.now();
}

function showUnchanging() {
  setText(byId('title'), sale.title);
  byId('price').replaceChildren(price(sale));
  showPicture(byId('picture'), sale.sku);
  product(sale.sku).then(found => {
    setText(byId('description'), found?.description ?? 'The shop has not described it any further.');
  });
}

function show() {
  const stageNow = stageOf(sale, now());
  if (stage !== null && stage !== stageNow) purchase.dismissNotice();
  if (stageNow === 'open' && stage === 'sold-out' && watching) watching = false;
  stage = stageNow;

  const view = viewOf(sale, purchase.state, stage, watching, now());
  button.show(view.button);
  stock.show(sale, stage);
  showCountdown();
  showAdvice(view);
  showActions(view.actions);

  if (view.button.look === 'waiting' && view.seconds !== undefined) openingVoice(view.seconds);
  if (view.button.look === 'yours' && view.seconds !== undefined) payingVoice(view.seconds);
  if (lookShown !== view.button.look || adviceShown !== view.advice) {
    if (lookShown !== null) announce(`${view.button.words}${view.button.ear ? ` ${view.button.ear}` : ''}. ${view.advice}`);
    // The words come first, so that a row of narrow tabs still tells which of them can buy.
    document.title = `${view.button.words}: ${sale.title} · Sluice`;
  }
  lookShown = view.button.look;
  adviceShown = view.advice;
}

function showCountdown() {
  const { label, value, at, when } = countdownOf(sale, stage, now());
  setText(byId('countdown-label'), label);
  setText(byId('countdown-value'), value);
  setText(byId('countdown-when'), when ?? (at ? moment(at) : '\u00a0'));
}

function showAdvice({ advice, tone }) {
  const place = byId('advice');
  place.dataset.tone = tone;
  setText(place, advice);
}

// Buttons live on while their name stays, so that the focus does too; when the focused one goes, the focus
// moves to the button above it instead of to nowhere.
function showActions(actions) {
  const place = byId('actions');
  const existing = new Map(Array.from(place.children, element => [element.dataset.name, element]));
  const wanted = actions.map(action => existing.get(action.name) ?? actionElement(action));
  const hadFocus = place.contains(document.activeElement);
  if (wanted.length !== existing.size || wanted.some((element, i) => element !== place.children[i])) place.replaceChildren(...wanted);
  if (hadFocus && !place.contains(document.activeElement)) button.element.focus();
  actions.forEach((action, i) => {
    setText(wanted[i].lastChild, action.text);
    if (action.pressed !== undefined) wanted[i].setAttribute('aria-pressed', String(action.pressed));
    if (action.busy !== undefined) wanted[i].setAttribute('aria-disabled', String(action.busy));
  });
}

function actionElement({ name, href, icon: iconName, strong }) {
  const look = { class: strong ? 'button-strong' : 'button-quiet', 'data-name': name };
  const inside = [iconName ? icon(iconName) : null, h('span')];
  return href
    ? h('a', { ...look, href }, ...inside)
    : h('button', { ...look, type: 'button', onclick: () => act(name) }, ...inside);
}

function act(name) {
  switch (name) {
    case 'pay': purchase.pay(); break;
    case 'another': purchase.buyAnother(); break;
    case 'watch':
      watching = !watching;
      show();
      polling.now();
      break;
  }
}

function heard() {
  byId('heard').dataset.state = 'live';
  setText(byId('heard-words'), 'Live, on the shop’s clock');
  byId('heard').dataset.at = clockTime(now());
}

function lost(error) {
  if (error instanceof Problem && error.status === 404) {
    fail(error);
    return;
  }
  byId('heard').dataset.state = 'lost';
  setText(byId('heard-words'), `No answer since ${byId('heard').dataset.at}`);
}

function fail(error) {
  if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  byId('sale').hidden = true;
  byId('failure').replaceChildren(error.status === 404
    ? errorState(error, { level: 'h1', title: 'There is no such sale' })
    : errorState(error, { level: 'h1', title: 'The sale did not load', retry: start }));
}
