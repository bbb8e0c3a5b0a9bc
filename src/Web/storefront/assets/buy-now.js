// Buying a product outside of a sale: no cart, one press, then the order's page, where it is paid.
//
//   looking → ready | gone | paused | none → asking → (the order's page) | ready with a notice
//
// The price that is asked for is the one that the page shows. Had it changed meanwhile, the server says so, and the page shows the new one.

import { Problem, Unreachable, call } from './api.js';
import { buyButton } from './buy-button.js';
import { claimUnits, hasOpenAttempt, productOffer } from './claim.js';
import { h, setText } from './dom.js';
import { explain } from './explain.js';
import { duration, money, number } from './format.js';
import { poll } from './poll.js';
import { SignInElsewhere } from './session.js';

const FEW = 10;
const LOOK_AGAIN_MS = 5_000;

const looks = {
  looking: { look: 'loading', icon: 'bag', words: 'Looking at the shelf…' },
  ready: { look: 'open', icon: 'bag', words: 'Buy now', pressable: true },
  asking: { look: 'holding', icon: 'gate', words: 'Taking it off the shelf…' },
  gone: { look: 'gone', icon: 'box', words: 'Out of stock' },
  paused: { look: 'gone', icon: 'pause', words: 'Not sold right now' },
  none: { look: 'gone', icon: 'flag', words: 'Only sold in sales' },
};

export class BuyNow {
  #sku;
  #price;
  #units;
  #notice;
  #button;
  #stock = null;
  #isAsking = false;

  /** @param {HTMLElement} place Holds `data-price`, the price's element, and takes button, units and words. */
  constructor(sku, place) {
    this.#sku = sku;
    this.#price = document.querySelector('.product .price-now');
    this.#units = h('select', { id: 'units', name: 'units', disabled: true }, h('option', {}, '1'));
    this.#notice = h('p', { class: 'advice', role: 'status' }, '\u00a0');
    this.#button = buyButton(() => this.#buy());
    this.#button.show(looks.looking);
    place.replaceChildren(h('label', { class: 'units' }, h('span', {}, 'Units'), this.#units), this.#button.element, this.#notice);
  }

  async start() {
    try {
      await this.#look();
    } catch (error) {
      this.#fail(error);
    }
    poll(() => this.#look(), { delayMs: () => LOOK_AGAIN_MS, onFailure: error => this.#fail(error) });
    // An earlier page view asked and never heard the answer: it goes on, with what was asked for then.
    if (hasOpenAttempt(this.#offer().id)) await this.#buy();
  }

  async #look() {
    if (this.#isAsking) return;
    const { body } = await call(`/v1/products/${encodeURIComponent(this.#sku)}/stock`);
    const isNew = JSON.stringify(body) !== JSON.stringify(this.#stock);
    this.#stock = body;
    // What is said of a purchase that failed stays, until the shelf says something new.
    if (isNew && !this.#isAsking) this.#show();
  }

  async #buy() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#button.show(looks.asking);
    this.#say('Asking for it. Stay on this page; a reload does no harm.');
    try {
      const claim = await claimUnits(this.#offer(), pauseMs => this.#say(`The shop is very busy. Asking again in ${Math.ceil(pauseMs / 1000)} s with the same request: you cannot buy twice.`));
      location.assign(`/orders/${claim.claimId}?pool=${this.#stock?.poolId ?? ''}`);
    } catch (error) {
      this.#isAsking = false;
      this.#show();
      this.#fail(error);
    }
  }

  #offer() {
    return productOffer(this.#sku, { units: Number(this.#units.value), priceCents: Number(this.#price.value), currency: this.#price.dataset.currency });
  }

  #show() {
    if (!this.#stock) {
      this.#button.show(looks.looking);
      return;
    }
    const { state, soldOut, leftUnits, unitsPerOrderMax, paymentTimeout } = this.#stock;
    this.#button.show(looks[state === 'open' ? (soldOut ? 'gone' : 'ready') : state] ?? looks.paused);
    const most = state === 'open' ? Math.max(1, Math.min(unitsPerOrderMax, leftUnits)) : 1;
    const chosen = Math.min(Number(this.#units.value), most);
    this.#units.replaceChildren(...Array.from({ length: most }, (_, i) => h('option', { selected: i + 1 === chosen }, number(i + 1))));
    [...this.#units.options].forEach((option, i) => { option.value = String(i + 1); });
    this.#units.value = String(chosen);
    this.#units.disabled = state !== 'open' || soldOut;
    this.#say(state === 'none' ? 'The shop offers it in its sales only.'
      : state !== 'open' ? 'The shop has taken it off the shelf for a while.'
      : soldOut ? 'Units of unpaid orders can come back.'
      : `${leftUnits <= FEW ? `Only ${number(leftUnits)} left. ` : 'In stock. '}Kept for you for ${duration(paymentTimeout)} while you pay.`);
  }

  #fail(error) {
    if (!(error instanceof Problem) && !(error instanceof Unreachable) && !(error instanceof SignInElsewhere)) throw error;
    if (error.code === 'price-changed' && error.body.currency === this.#price.dataset.currency) {
      this.#price.value = error.body.priceCents;
      setText(this.#price, money(error.body.priceCents, error.body.currency));
      document.querySelector('.product .price s')?.remove();
    }
    this.#say(explain(error), 'notice');
  }

  #say(words, tone = 'calm') {
    this.#notice.dataset.tone = tone;
    setText(this.#notice, words);
  }
}
