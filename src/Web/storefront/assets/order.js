// An order: its words, and the two things a buyer can do with it.

import { Problem } from './api.js';
import { exactMoment, timeOfDay } from './format.js';
import { callAsUser } from './session.js';

/** The status in words, with the icon and tone that go with it. */
export function statusOf(order) {
  switch (order.state) {
    case 'pending': return { icon: 'clock', tone: 'warn', words: 'Waiting for payment', more: `Kept for you until ${timeOfDay(order.payBy)}.` };
    case 'paid': return { icon: 'check', tone: 'good', words: 'Paid', more: order.paidAt ? `Paid on ${exactMoment(order.paidAt)}.` : 'Thank you.' };
    case 'cancelled': return { icon: 'cross', tone: 'still', words: 'Cancelled', more: 'The unit went back on offer.' };
    case 'expired': return { icon: 'clock', tone: 'still', words: 'Not paid in time', more: 'The unit went back on offer. Nothing was charged.' };
    default: return { icon: 'receipt', tone: 'still', words: order.state, more: '' };
  }
}

const happenings = {
  claimed: 'Set aside for you',
  ordered: 'Order written down',
  paid: 'Paid',
  cancelled: 'Cancelled; the unit went back on offer',
  expired: 'Not paid in time; the unit went back on offer',
  'refund-due': 'A payment came too late: the money goes back to you',
};

/** What happened to the order, as lines for people. */
export function timelineOf(order) {
  return (order.timeline ?? []).map(({ what, at }) => ({ words: happenings[what] ?? what, at }));
}

export async function readOrder(id) {
  return (await callAsUser(`/v1/orders/${id}`)).body;
}

/**
 * Pays by playing the payment provider. Never repeated blindly: a second payment would be a refund. When the
 * answer is lost, the order itself says whether it was paid.
 * @returns {Promise<{order: object, outcome: string}>} outcome `applied`, `already-applied` or `refund-due`.
 */
export async function pay(id) {
  try {
    return (await callAsUser(`/v1/orders/${id}/test-payment`, { method: 'POST' })).body;
  } catch (error) {
    if (error instanceof Problem && (error.status === 404 || error.status === 403)) throw error;
    const order = await readOrder(id);
    if (order.state === 'paid') return { order, outcome: 'already-applied' };
    throw error;
  }
}

/** Gives the units back. Safe to repeat. */
export async function cancel(id) {
  return (await callAsUser(`/v1/orders/${id}/cancel`, { method: 'POST' })).body;
}
