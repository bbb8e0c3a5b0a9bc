// Home: what is on now, next and past. The list is read again with its ETag; cards are kept by sale id, so a
// change of stock updates a card in place and the keyboard focus stays where it was.

import { Problem, Unreachable, call, reader } from './api.js';
import { everySecond, measure, now } from './clock.js';
import { byId, h, setText } from './dom.js';
import { emptyState, errorState } from './error-state.js';
import { digits, moment, number, secondsUntil } from './format.js';
import { icon } from './icons.js';
import { showPicture } from './picture.js';
import { poll } from './poll.js';
import { price } from './price.js';
import { nextMoment, stageOf } from './sale.js';
import { stockBar } from './stock-bar.js';

const LIST = '/v1/flash-sales?limit=100';
const readFirstPage = reader(LIST);
const cards = new Map();
const sections = { now: byId('now'), next: byId('next'), past: byId('past') };

let firstPage = null;
let older = [];
let moreCursor = null;
let placed = '';

byId('more').addEventListener('click', readMore);
start();

async function start() {
  try {
    [firstPage] = await Promise.all([readFirstPage(), measure()]);
  } catch (error) {
    fail(error);
    return;
  }
  moreCursor = firstPage.nextCursor;
  byId('failure').replaceChildren();
  byId('loading').hidden = true;
  byId('lists').hidden = false;
  poll(ask, { delayMs, onFailure: error => lost(error) });
  everySecond(show);
}

async function ask() {
  firstPage = await readFirstPage() ?? firstPage;
  byId('heard').hidden = true;
  show();
}

function delayMs() {
  const untilOpenMs = Math.min(...firstPage.items.filter(sale => stageOf(sale, now()) === 'scheduled').map(sale => Date.parse(sale.opensAt) - now()));
  return untilOpenMs < 10_000 ? 2_000 : 5_000;
}

async function readMore() {
  const more = byId('more');
  more.setAttribute('aria-disabled', 'true');
  try {
    const { body } = await call(`${LIST}&cursor=${encodeURIComponent(moreCursor)}`);
    older = [...older, ...body.items];
    moreCursor = body.nextCursor;
    show();
  } catch (error) {
    lost(error);
  }
  more.setAttribute('aria-disabled', 'false');
}

function sectionOf(stage) {
  if (stage === 'scheduled') return 'next';
  return stage === 'closed' ? 'past' : 'now';
}

function show() {
  // A draft is not announced yet. A sale that moved to another page while reading on appears once.
  const sales = new Map([...older, ...firstPage.items].filter(sale => sale.state !== 'draft').map(sale => [sale.id, sale]));
  const lists = { now: [], next: [], past: [] };
  for (const sale of sales.values()) {
    const stage = stageOf(sale, now());
    if (!cards.has(sale.id)) cards.set(sale.id, card(sale));
    cards.get(sale.id).show(sale, stage);
    lists[sectionOf(stage)].push(sale);
  }
  // What can be bought comes first.
  lists.now.sort(by(sale => `${stageOf(sale, now()) === 'open' ? 0 : 1} ${sale.closesAt ?? '9999'}`));
  lists.next.sort(by(sale => sale.opensAt));
  lists.past.sort(by(sale => sale.closesAt ?? sale.opensAt ?? '')).reverse();
  place(lists);
  byId('more').hidden = moreCursor === null;
}

const by = key => (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);

// Cards change their place only when a sale changes its stage, so the DOM is touched only then.
function place(lists) {
  const order = JSON.stringify(Object.values(lists).map(list => list.map(sale => sale.id)));
  if (order === placed) return;
  placed = order;
  for (const [name, section] of Object.entries(sections)) {
    const elements = lists[name].map(sale => cards.get(sale.id).element);
    section.querySelector('.cards').replaceChildren(...elements);
    section.querySelector('.nothing').replaceChildren(...(elements.length === 0 ? [nothing(name)] : []));
  }
}

function nothing(name) {
  switch (name) {
    case 'now': return emptyState('gate', 'Nothing is on right now', 'A sale appears here the second it opens.');
    case 'next': return emptyState('clock', 'Nothing is announced', 'A sale appears here as soon as the shop sets its time.');
    default: return emptyState('seal', 'No sale has ended yet', 'A sale that is over stays here with its certificate.');
  }
}

function card(first) {
  const image = h('img', { alt: '', width: 320, height: 320, decoding: 'async' });
  showPicture(image, first.sku);
  const chip = h('span', { class: 'chip' });
  const line = h('p', { class: 'card-line' });
  const stock = stockBar();
  const seal = h('p', { class: 'card-seal' }, sealLink(first, 'seal', 'Certificate'));
  const element = h('li', { class: 'card' },
    h('div', { class: 'card-picture' }, image, chip),
    h('div', { class: 'card-body' },
      h('h3', {}, h('a', { class: 'card-link', href: `/sales/${first.id}` }, first.title)),
      price(first), line, stock.element, seal));

  let stageShown = null;
  return {
    element,
    show(sale, stage) {
      stock.show(sale, stage);
      setText(line, lineOf(sale, stage));
      if (stage === stageShown) return;
      stageShown = stage;
      element.dataset.stage = stage;
      const [iconName, words] = chips[stage];
      chip.replaceChildren(icon(iconName), h('span', {}, words));
      if (stage === 'closed') showSealWhenSeen(sale, seal);
    },
  };
}

const chips = {
  'scheduled': ['clock', 'Soon'], 'open': ['bag', 'Open'], 'sold-out': ['box', 'Sold out'], 'paused': ['pause', 'Paused'], 'closed': ['flag', 'Ended'],
};

function lineOf(sale, stage) {
  const at = nextMoment(sale, stage);
  const left = at ? digits(secondsUntil(at, now())) : null;
  switch (stage) {
    case 'scheduled': return `Opens in ${left}`;
    case 'closed': return sale.closesAt ? `Ended ${moment(sale.closesAt)}` : 'Ended';
    case 'paused': return 'Goes on after a pause';
    default: return left ? `Ends in ${left}` : 'Until the last unit is gone';
  }
}

// A certificate is counted afresh from the records; ask only for those that somebody looks at.
function showSealWhenSeen(sale, seal) {
  const seen = new IntersectionObserver(async entries => {
    if (!entries.some(entry => entry.isIntersecting)) return;
    seen.disconnect();
    try {
      const { body: { certificate } } = await call(`/v1/pools/${encodeURIComponent(sale.poolId)}/certificate`);
      seal.replaceChildren(sealLink(sale, ...sealOf(certificate)));
      seal.dataset.verdict = certificate.verdict;
    } catch (error) {
      // The plain link stays: the certificate's own page says what is wrong.
      if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
    }
  });
  seen.observe(seal);
}

function sealLink(sale, iconName, words) {
  return h('a', { class: 'seal', href: `/sales/${sale.id}/certificate` }, icon(iconName), h('span', {}, words));
}

function sealOf({ verdict, soldUnits }) {
  switch (verdict) {
    case 'holds': return ['seal', `Held: ${number(soldUnits)} sold`];
    case 'settling': return ['clock', 'Being counted'];
    default: return ['warn', 'Broken: see why'];
  }
}

function lost(error) {
  if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  byId('heard').hidden = false;
}

function fail(error) {
  if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  byId('loading').hidden = true;
  byId('lists').hidden = true;
  byId('failure').replaceChildren(errorState(error, { title: 'The sales did not load', retry: start }));
}
