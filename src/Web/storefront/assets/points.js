// Points on the user's own page: the balance, the streak, and the button for today.

import { announce } from './announce.js';
import { Problem, Unreachable } from './api.js';
import { byId, setText } from './dom.js';
import { explain } from './explain.js';
import { number } from './format.js';
import { icon } from './icons.js';

const days = count => `${number(count)} ${count === 1 ? 'day' : 'days'} in a row.`;

/** @param mine sends a request of the user. */
export function pointsPanel(mine) {
  const button = byId('check-in');
  const says = byId('check-in-says');
  button.addEventListener('click', checkIn);
  return { show };

  /** What `GET /v1/me` says of points, and what today is for the shop: its day need not be the visitor's. */
  async function show(points) {
    tell('');
    setText(byId('points'), number(points.balance));
    const { body: month } = await mine('/v1/check-ins');
    setText(byId('streak'), month.checkedInToday ? days(month.streakDays)
      : month.streakDays > 0 ? `${days(month.streakDays)} Check in today to go on.`
      : 'A check-in a day brings points, days in a row bring more.');
    draw(month.checkedInToday);
  }

  async function checkIn() {
    if (button.getAttribute('aria-disabled') === 'true') return;
    button.setAttribute('aria-disabled', 'true');
    tell('');
    try {
      const { status, body } = await mine('/v1/check-ins', { method: 'POST' });
      const { body: me } = await mine('/v1/me');
      await show(me.points);
      announce(status === 201 ? `Checked in: ${number(body.points)} points, ${days(body.streakDays)}` : 'You were checked in already.');
    } catch (error) {
      if (!(error instanceof Problem) && !(error instanceof Unreachable)) throw error;
      button.removeAttribute('aria-disabled');
      tell(error.code === 'rate-limited' ? 'That was fast. Wait a moment, then press again.' : explain(error));
    }
  }

  // The button keeps its place and the focus; what it says changes, and its shape.
  function draw(isDone) {
    button.className = isDone ? 'button-quiet' : 'button-strong';
    button.replaceChildren(icon(isDone ? 'check' : 'flag'), isDone ? 'Checked in today' : 'Check in');
    if (isDone) button.setAttribute('aria-disabled', 'true');
    else button.removeAttribute('aria-disabled');
  }

  function tell(words) {
    says.dataset.tone = 'bad';
    setText(says, words);
  }
}
