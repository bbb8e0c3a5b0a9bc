// The user centre: log in or register, then profile, points and newest orders, read in one call, and addresses.

import { Problem, Unreachable, call } from './api.js';
import { isUsable, offOf, termsOf } from './coupon.js';
import { byId, h, setText } from './dom.js';
import { emptyState, errorState } from './error-state.js';
import { explain } from './explain.js';
import { moment, money, number } from './format.js';
import { icon } from './icons.js';
import { statusOf } from './order.js';
import { showPicture } from './picture.js';
import { pointsPanel } from './points.js';
import { known, signIn, signOut } from './session.js';

const ORDERS_SHOWN = 5;
const account = () => (known()?.isAccount ? known() : null);
const mine = (path, options = {}) => call(path, { ...options, token: account()?.token });
const panel = pointsPanel(mine);
let registering = location.hash === '#register';

onSubmit('sign-in', async fields => {
  const { name, email, password } = fields;
  await signIn(registering ? '/v1/accounts' : '/v1/sessions', registering ? { name, email, password } : { email, password });
  byId('sign-in').reset();
  await show();
});
onSubmit('address', async fields => {
  await mine('/v1/me/addresses', { method: 'POST', json: { ...fields, country: fields.country.toUpperCase() } });
  byId('address').reset();
  await showAddresses();
  return 'Added.';
});
onSubmit('password-change', async fields => {
  await mine('/v1/me/password', { method: 'POST', json: fields });
  byId('password-change').reset();
  return 'Changed. Where you are logged in elsewhere you stay so until it runs out.';
});
byId('other-way').addEventListener('click', () => {
  registering = !registering;
  showWay();
});
byId('log-out').addEventListener('click', () => {
  signOut();
  show();
});
show();

async function show() {
  byId('failure').replaceChildren();
  byId('mine').hidden = true;
  byId('waiting').hidden = account() === null;
  byId('visitor').hidden = account() !== null;
  if (!account()) {
    showWay();
    return;
  }
  try {
    // Shown when all of it is there: what comes later would push down what is below.
    const [{ body }] = await Promise.all([mine('/v1/me'), showAddresses()]);
    await panel.show(body.points);
    showMe(body);
  } catch (error) {
    fail(error);
  }
}

function showWay() {
  setText(byId('visitor-title'), registering ? 'Register' : 'Log in');
  setText(byId('visitor-lead'), registering ? 'So that your orders are yours on every device.' : 'With the e-mail that you registered.');
  setText(byId('sign-in-button'), registering ? 'Register' : 'Log in');
  setText(byId('other-way'), registering ? 'Registered already? Log in' : 'New here? Register');
  byId('name-field').hidden = !registering;
  byId('password-note').hidden = !registering;
  byId('password').autocomplete = registering ? 'new-password' : 'current-password';
  setText(byId('sign-in-says'), '');
}

function showMe({ profile, orders, coupons }) {
  byId('waiting').hidden = true;
  byId('mine').hidden = false;
  setText(byId('hello'), profile.name);
  setText(byId('mine-lead'), profile.email);
  byId('orders').replaceChildren(...orders.items.slice(0, ORDERS_SHOWN).map(order => {
    const { icon: iconName, tone, words } = statusOf(order);
    const image = h('img', { class: 'order-picture', alt: '', width: 72, height: 72 });
    showPicture(image, order.sku);
    return h('li', { class: 'order' }, image,
      h('div', { class: 'order-what' },
        h('h3', {}, h('a', { class: 'card-link', href: `/orders/${order.id}` }, `${order.units === 1 ? '' : `${number(order.units)} × `}${order.title}`)),
        h('p', { class: 'order-when' }, `${money(order.amountCents, order.currency)} · ${moment(order.createdAt)}`)),
      h('div', { class: 'order-state' }, h('p', { class: 'status', 'data-tone': tone }, icon(iconName), h('span', {}, words))));
  }));
  const usable = coupons.filter(coupon => isUsable(coupon, Date.now()));
  byId('coupons').replaceChildren(...(usable.length > 0 ? usable.map(coupon => h('li', { class: 'address' },
    h('p', {}, h('strong', {}, offOf(coupon)), ` ${coupon.title}`),
    h('p', { class: 'order-when' }, termsOf(coupon)))) : [h('li', { class: 'order-when' }, 'None to use right now.')]));
  byId('nothing').replaceChildren(...(orders.items.length > 0 ? [] : [
    emptyState('receipt', 'No orders yet', 'When you buy in a sale, your order appears here.', { href: '/', text: 'See the sales' }),
  ]));
}

async function showAddresses() {
  const { body } = await mine('/v1/me/addresses');
  byId('addresses').replaceChildren(...body.items.map(address => h('li', { class: 'address' },
    h('p', {}, [address.name, address.line1, address.line2, `${address.postalCode} ${address.city}`, address.region, address.country].filter(Boolean).join(', ')),
    h('button', { class: 'button-quiet', type: 'button', 'aria-label': `Remove the address of ${address.name}, ${address.line1}`, onclick: () => remove(address.id) }, 'Remove'))));
  if (body.items.length === 0) byId('addresses').replaceChildren(h('li', { class: 'order-when' }, 'None yet.'));
}

async function remove(id) {
  try {
    await mine(`/v1/me/addresses/${id}`, { method: 'DELETE' });
    await showAddresses();
    byId('addresses-title').focus();
  } catch (error) {
    fail(error);
  }
}

// One submit at a time; what went wrong stands beside the button, in words.
function onSubmit(id, send) {
  const form = byId(id);
  const says = byId(`${id}-says`);
  form.addEventListener('submit', async event => {
    event.preventDefault();
    if (form.getAttribute('aria-busy') === 'true') return;
    const empty = [...form.elements].find(field => field.required && field.value.trim() === '' && !field.closest('[hidden]'));
    if (empty) {
      tell(says, `${form.querySelector(`label[for="${empty.id}"]`).textContent} is missing.`, 'bad');
      empty.focus();
      return;
    }
    form.setAttribute('aria-busy', 'true');
    tell(says, '', 'good');
    try {
      tell(says, await send(Object.fromEntries(new FormData(form))) ?? '', 'good');
    } catch (error) {
      if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
      tell(says, error.code === 'rate-limited' ? 'Too many tries. Wait a moment, then try again.' : explain(error), 'bad');
    } finally {
      form.removeAttribute('aria-busy');
    }
  });
}

function tell(element, words, tone) {
  element.dataset.tone = tone;
  setText(element, words);
}

function fail(error) {
  if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
  if (error.status === 401) {
    signOut();
    show();
    return;
  }
  byId('waiting').hidden = true;
  byId('failure').replaceChildren(errorState(error, { title: 'Your account did not load', retry: show }));
}
