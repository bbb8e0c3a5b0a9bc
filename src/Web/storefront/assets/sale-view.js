// What the sale page says, as a pure function of the sale, the purchase and the clock: the button, the line
// of advice under it, and what can be done beside buying.

import { digits, duration, money, number, secondsUntil, spoken, timeOfDay } from './format.js';

export function viewOf(sale, purchase, stage, watching, nowMs) {
  if (purchase.kind === 'asking') return asking(purchase);
  if (purchase.kind === 'held')
    return { button: holding, advice: 'A unit is set aside for you. Your order is being written down.', tone: 'calm', actions: [] };
  if (purchase.kind === 'yours') return yours(sale, stage, purchase, nowMs);
  const view = idle(sale, stage, watching, nowMs);
  return purchase.notice ? { ...view, advice: purchase.notice, tone: 'notice' } : view;
}

const holding = { look: 'holding', icon: 'gate', words: 'Holding your place…' };

function asking({ pauseMs }) {
  return {
    button: holding, tone: pauseMs === null ? 'calm' : 'notice', actions: [],
    advice: pauseMs === null
      ? 'Asking for a unit. Stay on this page; a reload does no harm.'
      : `The shop is very busy. Asking again in ${Math.ceil(pauseMs / 1000)} s with the same request: you cannot buy twice.`,
  };
}

function yours(sale, stage, { order, notice, busy }, nowMs) {
  // Paying comes last in the row: when it is done and gone, nothing beside it moves.
  const actions = [{ name: 'order', text: 'See your order', href: `/orders/${order.id}` }];
  if (sale.perUserLimit > 1 && stage === 'open') actions.push({ name: 'another', text: 'Buy one more' });
  if (order.state === 'paid') {
    return {
      tone: notice ? 'notice' : 'calm', actions,
      button: { look: 'yours', icon: 'check', words: 'Yours, and paid', pressable: true },
      advice: notice ?? `Thank you. ${money(order.amountCents, order.currency)} was paid.`,
    };
  }
  const seconds = secondsUntil(order.payBy, nowMs);
  return {
    tone: notice ? 'notice' : 'calm', seconds,
    actions: [...actions, { name: 'pay', text: busy ? 'Paying…' : `Pay ${money(order.amountCents, order.currency)}`, strong: true, busy }],
    button: { look: 'yours', icon: 'check', words: 'Yours: pay within', eye: digits(seconds), ear: spoken(seconds), pressable: true },
    advice: notice ?? `Kept for you until ${timeOfDay(order.payBy)}. After that the unit goes back to the sale.`,
  };
}

function idle(sale, stage, watching, nowMs) {
  const calm = { tone: 'calm', actions: [] };
  switch (stage) {
    case 'draft':
      return { ...calm, button: { look: 'waiting', icon: 'clock', words: 'Not open yet' }, advice: 'The shop has not set a time yet. This page shows it as soon as there is one.' };
    case 'scheduled': {
      const seconds = secondsUntil(sale.opensAt, nowMs);
      return {
        ...calm, seconds,
        button: { look: 'waiting', icon: 'clock', words: 'Opens in', eye: digits(seconds), ear: spoken(seconds) },
        advice: 'This button opens by itself, on the shop’s clock. No need to reload.',
      };
    }
    case 'open': {
      const each = sale.perUserLimit === 1 ? 'One per person' : `Up to ${number(sale.perUserLimit)} per person`;
      return {
        ...calm,
        button: { look: 'open', icon: 'bag', words: 'Buy now', pressable: true },
        advice: `${each}. The unit is then kept for you for ${duration(sale.paymentTimeout)} while you pay.`,
      };
    }
    case 'sold-out':
      return {
        ...calm,
        button: { look: 'gone', icon: 'box', words: 'Sold out' },
        advice: watching
          ? 'Watching. The button comes back here, and the tab says so, as soon as a unit does.'
          : 'Units can come back when an order is not paid. The button then opens again by itself.',
        actions: [{ name: 'watch', text: watching ? 'Watching for units' : 'Watch for units', icon: 'eye', pressed: watching }],
      };
    case 'paused':
      return { ...calm, button: { look: 'gone', icon: 'pause', words: 'Paused' }, advice: 'The shop paused this sale for a moment. It goes on here by itself.' };
    default:
      return {
        ...calm,
        button: { look: 'gone', icon: 'flag', words: 'This sale has ended' },
        advice: 'What was sold, and that nothing was lost, is in the certificate.',
        actions: [{ name: 'certificate', text: 'Read the certificate', href: `/sales/${sale.id}/certificate` }],
      };
  }
}

/** Label and value of the big countdown. */
export function countdownOf(sale, stage, nowMs) {
  switch (stage) {
    case 'draft': return { label: 'Opens', value: 'Soon', when: 'No time is set yet' };
    case 'scheduled': return { label: 'Opens in', value: digits(secondsUntil(sale.opensAt, nowMs)), at: sale.opensAt };
    case 'closed': return { label: 'This sale has', value: 'Ended', at: sale.closesAt };
    case 'paused': return { label: 'This sale is', value: 'Paused', at: sale.closesAt };
    default:
      return sale.closesAt
        ? { label: 'Ends in', value: digits(secondsUntil(sale.closesAt, nowMs)), at: sale.closesAt }
        : { label: 'This sale is', value: 'Open', when: 'Until the last unit is gone' };
  }
}
