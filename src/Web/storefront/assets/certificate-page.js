// The certificate as a page people can read: the verdict first, then five figures, then what it means in
// plain words, every check, and how to verify it without trusting this page.

import { announce } from './announce.js';
import { Problem, Unreachable, call } from './api.js';
import { byId, h, setText } from './dom.js';
import { errorState } from './error-state.js';
import { exactMoment, number } from './format.js';
import { icon } from './icons.js';
import { idFromPath } from './sale.js';
import { checkSignature } from './signature.js';

const SETTLING_AGAIN_MS = 3_000;

const saleId = encodeURIComponent(idFromPath());
let verdictShown = null;

byId('back').href = `/sales/${saleId}`;
byId('print').addEventListener('click', () => window.print());
start();

async function start() {
  let answer, path, sale;
  try {
    ({ body: sale } = await call(`/v1/flash-sales/${saleId}`));
    path = `/v1/pools/${encodeURIComponent(sale.poolId)}/certificate`;
    ({ body: answer } = await call(path));
  } catch (error) {
    fail(error);
    return;
  }
  byId('failure').replaceChildren();
  byId('download').href = path;
  byId('download').download = `certificate-${answer.certificate.poolId}.json`;
  show(answer.certificate, sale);
  byId('loading').hidden = true;
  byId('certificate').hidden = false;
  await showSignature(answer);
  if (answer.certificate.verdict === 'settling') setTimeout(start, SETTLING_AGAIN_MS);
}

function show(certificate, sale) {
  const { words, iconName, tone } = verdictOf(certificate, sale);
  byId('verdict').dataset.tone = tone;
  byId('verdict').replaceChildren(icon(iconName), h('span', {}, words));
  setText(byId('title'), certificate.title);
  setText(byId('issued'), `Counted on ${exactMoment(certificate.issuedAt)} · pool ${certificate.poolId}`);
  document.title = `${words} · ${certificate.title} · Sluice`;
  if (verdictShown !== null && verdictShown !== words) announce(words);
  verdictShown = words;

  byId('figures').replaceChildren(...figuresOf(certificate).map(([value, name, note]) =>
    h('div', { class: 'figure' }, h('dt', {}, name), h('dd', {}, h('strong', {}, value), h('span', {}, note)))));
  byId('meaning').replaceChildren(...meaningOf(certificate).map(sentence => h('li', {}, sentence)));
  byId('checks').replaceChildren(...certificate.checks.map(checkRow));
}

const offered = certificate => certificate.capacityUnits;

function verdictOf(certificate, sale) {
  const { verdict, soldUnits, queueDepth } = certificate;
  const soFar = sale.state === 'closed' ? '' : ' so far';
  switch (verdict) {
    case 'holds':
      return { tone: 'good', iconName: 'seal', words: `Held: ${number(soldUnits)} of ${number(offered(certificate))} sold${soFar}, nothing lost, nothing sold twice.` };
    case 'settling':
      return { tone: 'warn', iconName: 'clock', words: `Settling: ${number(queueDepth)} still being written. This page counts again by itself.` };
    default: {
      const failing = certificate.checks.filter(check => !check.holds).length;
      return { tone: 'bad', iconName: 'warn', words: `Broken: ${number(failing)} of ${number(certificate.checks.length)} checks failed. See which below.` };
    }
  }
}

function figuresOf(certificate) {
  const { adjustmentUnits, soldUnits, heldUnits, releasedUnits, leftUnits, acceptedClaims, orders } = certificate;
  return [
    [number(offered(certificate)), 'Units in the sale', adjustmentUnits === 0 ? 'none added later' : `${number(adjustmentUnits)} of them added later`],
    [number(soldUnits), 'Sold', heldUnits === 0 ? 'none still held' : `${number(heldUnits)} more still held`],
    [number(leftUnits), 'Left', `${number(releasedUnits)} came back`],
    [number(acceptedClaims), 'Claims accepted', 'each one kept'],
    [number(orders), 'Orders written', 'one for each claim'],
  ];
}

// Five sentences a buyer would ask for, each from a figure of the certificate and none from hope.
function meaningOf(certificate) {
  const { verdict, soldUnits, heldUnits, leftUnits, releasedUnits, acceptedClaims, orders, deadLetters, queueDepth } = certificate;
  const total = number(offered(certificate));
  const sentences = [
    soldUnits + heldUnits + leftUnits === offered(certificate)
      ? `Every unit is accounted for: ${number(soldUnits)} sold, ${number(heldUnits)} held and ${number(leftUnits)} left make ${total}.`
      : `The units do not add up: ${number(soldUnits)} sold, ${number(heldUnits)} held and ${number(leftUnits)} left are not ${total}.`,
    acceptedClaims === orders
      ? `Nobody who was told “yes” was forgotten. Claims accepted: ${number(acceptedClaims)}, orders written: ${number(orders)}.`
      : `Claims accepted: ${number(acceptedClaims)}, orders written: ${number(orders)}, still waiting to be written: ${number(queueDepth)}.`,
    releasedUnits === 0
      ? 'No unit was given back.'
      : `Units given back, by cancelling or by not paying in time: ${number(releasedUnits)}. Each was offered to the next buyer.`,
    deadLetters === 0 ? 'No order is stuck.' : `Orders that are stuck and need the shop’s attention: ${number(deadLetters)}.`,
  ];
  if (verdict === 'settling') sentences.push('The count is not final yet: what was accepted is safe and is still being written down.');
  return sentences;
}

function checkRow(check) {
  return h('tr', { 'data-holds': String(check.holds) },
    h('th', { scope: 'row' }, h('span', { class: 'check-says' }, check.says), h('code', {}, check.name)),
    h('td', { class: 'numeric', 'data-label': 'Expected' }, number(check.expected)),
    h('td', { class: 'numeric', 'data-label': 'Found' }, number(check.found)),
    h('td', { class: 'check-result' }, icon(check.holds ? 'check' : 'cross'), h('span', {}, check.holds ? 'Holds' : 'Broken')));
}

const signatureWords = {
  good: ['good', 'check', 'Your browser has checked the signature just now: this is what the shop signed, unchanged.'],
  bad: ['bad', 'warn', 'The signature does not fit this certificate. Do not trust it; tell the shop.'],
  unknown: ['still', 'lock', 'Your browser could not check the signature here. Check the downloaded file instead, as below.'],
};

async function showSignature({ certificate, jws }) {
  let checked;
  try {
    checked = await checkSignature(certificate, jws);
  } catch (error) {
    if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
    checked = { result: 'unknown', keyId: null };
  }
  const [tone, iconName, words] = signatureWords[checked.result];
  byId('signature').dataset.tone = tone;
  byId('signature').replaceChildren(icon(iconName), h('span', {}, words));
  setText(byId('key'), checked.keyId ? `Signed with key ${checked.keyId}` : '');
}

function fail(error) {
  if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  byId('loading').hidden = true;
  byId('certificate').hidden = true;
  byId('failure').replaceChildren(error.status === 404
    ? errorState(new Problem(404, { detail: 'Either the sale does not exist, or nothing has been counted for it yet.' }, null), { level: 'h1', title: 'There is no certificate here' })
    : errorState(error, { level: 'h1', title: 'The certificate did not load', retry: start }));
}
