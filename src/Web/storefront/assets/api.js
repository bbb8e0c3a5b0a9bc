// One way to call the server. Two kinds of failure leave here: the server answered with a problem
// (Problem), or nobody answered (Unreachable). Pages turn either into a sentence with what to do next.

const ANSWER_WITHIN_MS = 15_000;
const RETRY_AFTER_MAX_MS = 60_000;

export class Problem extends Error {
  constructor(status, body, retryAfterMs) {
    super(body.detail ?? body.title ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? '';
    this.body = body;
    this.retryAfterMs = retryAfterMs;
  }
}

export class Unreachable extends Error {}

/**
 * Calls the server once.
 * @param {string} path Path and query on this origin.
 * @param {{method?: string, token?: string, json?: object, headers?: object, waitMs?: number, signal?: AbortSignal}} options
 *   `waitMs` is how long the server was asked to hold the answer back (long poll).
 * @returns {Promise<{status: number, body: any, etag: string|null}>} 2xx and 304 only.
 * @throws {Problem|Unreachable}
 */
export async function call(path, { method = 'GET', token, json, headers = {}, waitMs = 0, signal } = {}) {
  const deadline = AbortSignal.timeout(ANSWER_WITHIN_MS + waitMs);
  const request = {
    method,
    headers: { Accept: 'application/json', ...headers },
    // Freshness is decided here with ETags: a stored answer must never show a stock that is gone.
    cache: 'no-store',
    credentials: 'omit',
    signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
  };
  if (token) request.headers.Authorization = `Bearer ${token}`;
  if (json !== undefined) {
    request.body = JSON.stringify(json);
    request.headers['Content-Type'] = 'application/json';
  }

  let response, text;
  try {
    response = await fetch(path, request);
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable('The shop cannot be reached.', { cause: error });
  }

  const body = parse(text);
  if (response.ok || response.status === 304) return { status: response.status, body, etag: response.headers.get('ETag') };
  throw new Problem(response.status, body ?? {}, retryAfter(response));
}

// A proxy between here and the server may answer with a page instead of JSON; its status still counts.
function parse(text) {
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function retryAfter(response) {
  const seconds = Number(response.headers.get('Retry-After') ?? NaN);
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds * 1000, 0), RETRY_AFTER_MAX_MS) : null;
}

/** A reader that asks again only for what changed: answers `null` when the server says nothing did. */
export function reader(path, options = {}) {
  let etag = null;
  return async () => {
    const answer = await call(path, { ...options, headers: etag ? { 'If-None-Match': etag } : {} });
    etag = answer.etag ?? etag;
    return answer.status === 304 ? null : answer.body;
  };
}
