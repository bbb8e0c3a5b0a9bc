// A coupon: its words, and whether it is worth offering for an order. The server decides; this only saves a useless press.

import { exactMoment, money } from './format.js';
import { callAsUser } from './session.js';

/** "€5.00 off", "10% off, at most €5.00". */
export function offOf(coupon) {
  if (coupon.kind === 'fixed') return `${money(coupon.amountOffCents, coupon.currency)} off`;
  const part = `${new Intl.NumberFormat(undefined, { style: 'percent' }).format(coupon.percentOff / 100)} off`;
  return coupon.maximumOffCents === null ? part : `${part}, at most ${money(coupon.maximumOffCents, coupon.currency)}`;
}

/** For which orders, and how long. */
export function termsOf(coupon) {
  const until = `until ${exactMoment(coupon.validUntil)}`;
  return coupon.minimumCents > 0 ? `orders from ${money(coupon.minimumCents, coupon.currency)}, ${until}` : until;
}

export const isUsable = (coupon, nowMs) => coupon.state === 'usable' && Date.parse(coupon.validUntil) > nowMs;

export function fits(coupon, order, nowMs) {
  return isUsable(coupon, nowMs) && coupon.currency === order.currency && order.priceCents * order.units >= coupon.minimumCents;
}

export async function readUsable() {
  return (await callAsUser('/v1/coupons?state=usable')).body.items;
}

/** Both safe to repeat. */
export async function redeem(orderId, couponId) {
  return (await callAsUser(`/v1/orders/${orderId}/coupon`, { method: 'POST', json: { couponId } })).body;
}

export async function takeOff(orderId) {
  return (await callAsUser(`/v1/orders/${orderId}/coupon`, { method: 'DELETE' })).body;
}
