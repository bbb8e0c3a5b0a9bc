// Checks a certificate's signature in the visitor's own browser, so that the page does not have to be
// believed: the JWS is ES256 (RFC 7515, 7518), its payload is the certificate, the keys are public.

import { call } from './api.js';

/** @returns {Promise<{result: 'good'|'bad'|'unknown', keyId: string|null}>} `unknown` where a browser offers no cryptography (a page without TLS) or the keys are not to be had. */
export async function checkSignature(certificate, jws) {
  const [header, payload, signature] = jws.split('.');
  const { kid: keyId = null, alg } = JSON.parse(text(header));
  if (!crypto.subtle || alg !== 'ES256') return { result: 'unknown', keyId };

  const { body: { keys } } = await call('/.well-known/sluice-keys');
  const jwk = keys.find(key => key.kid === keyId);
  if (!jwk) return { result: 'unknown', keyId };

  const key = await crypto.subtle.importKey('jwk', { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify']);
  const genuine = await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, bytes(signature), new TextEncoder().encode(`${header}.${payload}`));
  const same = ordered(JSON.parse(text(payload))) === ordered(certificate);
  return { result: genuine && same ? 'good' : 'bad', keyId };
}

function bytes(base64Url) {
  return Uint8Array.from(atob(base64Url.replaceAll('-', '+').replaceAll('_', '/')), character => character.charCodeAt(0));
}

const text = base64Url => new TextDecoder().decode(bytes(base64Url));

// The same content whatever the order of the members.
function ordered(value) {
  return JSON.stringify(value, (_, inner) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner);
}
