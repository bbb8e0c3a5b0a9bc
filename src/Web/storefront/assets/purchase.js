// One visitor's purchase in one sale, from the press of the button to a paid order.
//
//   idle → asking → held → yours → (paid) | idle with a notice
//
// It knows nothing of the page: it changes `state` and says so.

import { Problem } from './api.js';
import { claimUnits, forgetClaim, hasOpenAttempt, rememberClaim, rememberedClaim, saleOffer, settledClaim } from './claim.js';
import { explain } from './explain.js';
import { pay, readOrder } from './order.js';

const releasedBecause = {
  cancelled: 'You cancelled your order, so the unit went back to the sale.',
  expired: 'Your order was not paid in time, so the unit went back to the sale. Nothing was charged.',
};

export class Purchase {
  #saleId;
  #changed;

  /** @type {{kind: 'idle', notice: string|null} | {kind: 'asking', pauseMs: number|null} | {kind: 'held'} | {kind: 'yours', order: object, notice: string|null, busy: boolean}} */
  state = { kind: 'idle', notice: null };

  constructor(saleId, changed) {
    this.#saleId = saleId;
    this.#changed = changed;
  }

  /** Goes on where an earlier page view stopped. */
  async resume() {
    const claimId = rememberedClaim(this.#saleId);
    if (hasOpenAttempt(this.#saleId)) await this.buy();
    else if (claimId) await this.#follow(claimId);
  }

  async buy() {
    // Pressing twice is one purchase: the second press finds it under way.
    if (this.state.kind !== 'idle') return;
    this.#become({ kind: 'asking', pauseMs: null });
    try {
      const claim = await claimUnits(saleOffer(this.#saleId), pauseMs => this.#become({ kind: 'asking', pauseMs }));
      rememberClaim(this.#saleId, claim.claimId);
      await this.#follow(claim.claimId, claim);
    } catch (error) {
      const mine = error instanceof Problem && error.code === 'limit-reached' ? error.body.claimIds?.at(-1) : undefined;
      if (mine) {
        rememberClaim(this.#saleId, mine);
        await this.#follow(mine);
      } else {
        this.#become({ kind: 'idle', notice: explain(error) });
      }
    }
  }

  /** Takes the last notice away, when what it speaks of is over. */
  dismissNotice() {
    if (this.state.kind === 'idle') this.state = { kind: 'idle', notice: null };
  }

  /** Another unit where the sale allows more than one; the earlier one stays among the visitor's orders. */
  async buyAnother() {
    this.#become({ kind: 'idle', notice: null });
    await this.buy();
  }

  async pay() {
    await this.#act(async order => {
      const { order: paid, outcome } = await pay(order.id);
      return { order: paid, notice: outcome === 'refund-due' ? 'The order had already ended, so the money goes back to you.' : null };
    });
  }

  /** Reads the order again: the visitor may have paid or cancelled in another tab, or the time to pay has run out. */
  async refresh() {
    if (this.state.kind !== 'yours' || this.state.busy) return;
    this.#settle(await readOrder(this.state.order.id), this.state.notice);
  }

  async #follow(claimId, first) {
    this.#become({ kind: 'held' });
    try {
      const claim = first?.order ? first : await settledClaim(claimId, () => this.#become({ kind: 'held' }));
      if (claim.state === 'rejected') {
        forgetClaim(this.#saleId);
        this.#become({ kind: 'idle', notice: `Your claim could not be turned into an order${claim.reason ? `: ${claim.reason}` : ''}. Nothing was charged.` });
      } else if (claim.order) {
        this.#settle(claim.order, null);
      } else if (claim.state === 'released') {
        this.#letGo(null);
      } else {
        this.#settle(await readOrder(claimId), null);
      }
    } catch (error) {
      // Not ours (any more): another guest session made it. Everything else is worth a word.
      const gone = error instanceof Problem && error.status === 404;
      if (gone) forgetClaim(this.#saleId);
      this.#become({ kind: 'idle', notice: gone ? null : explain(error) });
    }
  }

  async #act(action) {
    if (this.state.kind !== 'yours' || this.state.busy) return;
    const { order } = this.state;
    this.#become({ ...this.state, busy: true, notice: null });
    try {
      const { order: after, notice } = await action(order);
      this.#settle(after, notice);
    } catch (error) {
      this.#become({ kind: 'yours', order, notice: explain(error), busy: false });
    }
  }

  #settle(order, notice) {
    if (order.state === 'cancelled' || order.state === 'expired') this.#letGo(notice ?? releasedBecause[order.state]);
    else this.#become({ kind: 'yours', order, notice, busy: false });
  }

  #letGo(notice) {
    forgetClaim(this.#saleId);
    this.#become({ kind: 'idle', notice });
  }

  #become(state) {
    this.state = state;
    this.#changed(state);
  }
}
