// Who the visitor is. Whoever logs in (the account page) is that account until the token expires or they log out.
// Everybody else becomes a guest, on the first thing that needs a name (buying, looking at orders). A shop with
// its own users switches guest sessions off, and then pages say where to log in instead of failing.

import { Problem, call } from './api.js';
import { lasting } from './store.js';

const KEY = 'sluice.session';
const RENEW_BEFORE_MS = 60_000;

export class SignInElsewhere extends Error {}

let starting = null;

/** The guest session of this browser, made when there is none or it is about to expire. */
export async function session() {
  const kept = known();
  if (kept) return kept;
  // Two calls at the same moment must not become two guests.
  starting ??= start().finally(() => { starting = null; });
  return starting;
}

/** The session if there is one that is still good, without making one. */
export function known() {
  const kept = lasting.read(KEY);
  // The visitor's own clock is good enough here: a token that expires early by it is renewed early,
  // and one that expires late is answered with 401 and renewed then.
  return kept && Date.parse(kept.expiresAt) - RENEW_BEFORE_MS > Date.now() ? kept : null;
}

/** Becomes an account: by its e-mail and password, or newly registered. @throws {Problem|Unreachable} */
export async function signIn(path, json) {
  const { body } = await call(path, { method: 'POST', json });
  lasting.write(KEY, { ...body, isAccount: true });
  return body;
}

/** Nobody again. */
export const signOut = () => lasting.remove(KEY);

async function start() {
  try {
    const { body } = await call('/v1/guest-sessions', { method: 'POST' });
    lasting.write(KEY, body);
    return body;
  } catch (error) {
    if (error instanceof Problem && (error.status === 404 || error.status === 403))
      throw new SignInElsewhere('Log in first.', { cause: error });
    throw error;
  }
}

/** Calls the server as this visitor; a token that is refused is replaced once. */
export async function callAsUser(path, options = {}) {
  const { token } = await session();
  try {
    return await call(path, { ...options, token });
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    // Another tab may have renewed it meanwhile: only drop the token that was refused.
    if (lasting.read(KEY)?.token === token) lasting.remove(KEY);
    const renewed = await session();
    return call(path, { ...options, token: renewed.token });
  }
}
