// Failures as sentences: what happened, and what to do next. The server's own `detail` is the fallback, so a
// problem this page has never heard of is still explained by whoever invented it.

import { Problem, Unreachable } from './api.js';
import { SignInElsewhere } from './session.js';

const sentences = {
  'sold-out': 'The last unit went a moment ago. Units can come back when an order is not paid.',
  'not-open': 'The sale is not open yet. This page opens it by itself.',
  'closed': 'The sale has ended, so nothing was bought.',
  'price-changed': 'The price has changed meanwhile. Look at the new one, then press again.',
  'not-for-sale': 'The shop does not sell this outside of its sales.',
  'paused': 'The shop paused the sale. It goes on here by itself.',
  'limit-reached': 'You already have as many as one person may buy.',
  'rate-limited': 'Too many attempts from here. Wait a moment, then press again: you cannot buy twice.',
  'queue-full': 'Too many people are buying this second. Press again: you cannot buy twice.',
  'unavailable': 'The shop is not answering. Press again: you cannot buy twice.',
  'wrong-credentials': 'E-mail and password do not go together.',
  'email-taken': 'There is an account with this e-mail already. Log in instead.',
  'wrong-password': 'The current password is another one.',
  'coupon-used': 'This coupon is at another order of yours.',
  'coupon-expired': 'This coupon has expired.',
  'coupon-not-for-this-order': 'This coupon is not for this order.',
  'order-has-coupon': 'The order has another coupon. Take that one off first.',
  'order-not-pending': 'The order is not open any more, so its coupon stays as it is.',
  'order-paid': 'This order is already paid, so it cannot be cancelled here.',
};

export function explain(error) {
  if (error instanceof SignInElsewhere) return 'Log in with your account here, or where this shop signs its customers in, then come back.';
  if (error instanceof Unreachable)
    return navigator.onLine === false
      ? 'You are offline. Check your connection; this page goes on when it is back.'
      : 'The shop cannot be reached right now. Check your connection and try again.';
  if (error instanceof Problem) return sentences[error.code] ?? error.message;
  return 'Something on this page went wrong. Reload it and try again.';
}
