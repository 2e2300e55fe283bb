// Asks the service. Every error becomes a `Problem` with words for people.

export const BASE = "/api/v1/recovery";

/// How long an ordinary question may take, in milliseconds; the service itself waits up to 50 s for what it waits for.
const PATIENCE = 60_000;
/// The pause before a question that was broken off is asked again, in milliseconds.
const AGAIN = 250;

/// What went wrong: what happened, what to do, and whether the service answered at all.
export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", title = "Something went wrong", detail, hint, errors, operation_id }) {
    super(detail ?? title);
    Object.assign(this, { status, code, title, detail: detail ?? title, hint, errors: errors ?? [], operation: operation_id });
  }

  /// Whether the service itself did not answer.
  get isUnreachable() {
    return this.status === 0;
  }

  static of(error) {
    if (error instanceof Problem) return error;
    return new Problem({ title: "Something went wrong in this page", detail: String(error?.message ?? error) });
  }
}

const watchers = new Set();

/// Is told of each answer that shows whether the service is there, and whether somebody is signed in.
export function onAnswer(watcher) {
  watchers.add(watcher);
}

function tell(what) {
  for (const watcher of watchers) watcher(what);
}

/// A browser breaks off what is under way when the networks of its machine change, as they do whenever a container
/// comes or goes. What changes nothing is asked once more then.
async function reach(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (options.method !== "GET" || options.signal.aborted) throw error;
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
    return fetch(address, options);
  }
}

/// Asks, and returns `{ status, body, headers }`; what is not good becomes a thrown `Problem`.
export async function ask(method, path, { body, headers = {}, raw, signal, quiet } = {}) {
  const options = { method, headers: { Accept: "application/json", ...headers }, signal: signal ?? AbortSignal.timeout(PATIENCE) };
  if (raw !== undefined) options.body = raw;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await reach(path.startsWith("/") ? path : `${BASE}/${path}`, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    tell({ reached: false });
    throw new Problem({
      title: "The recovery service does not answer",
      detail: "The recovery service does not answer.",
      hint:
        method === "GET" || path === "session"
          ? "This page asks again every few seconds. If it stays like this, look whether the service's container runs."
          : "It may have been begun all the same: once the service answers, look below before you do it again.",
    });
  }
  // A proxy that stands before a dead service answers in its stead.
  const ours = response.headers.has("x-request-id");
  tell({ reached: ours, unauthorized: ours && response.status === 401 && !quiet });
  const text = await response.text().catch(() => "");
  const parsed = parse(text);
  if (response.ok) return { status: response.status, body: parsed, headers: response.headers };
  if (!ours && !parsed?.code) {
    throw new Problem({
      title: "The recovery service does not answer",
      detail: `Something between this page and the recovery service answered with ${response.status}.`,
    });
  }
  throw new Problem({ title: `The service answered with ${response.status}`, ...(parsed ?? {}), status: response.status });
}

function parse(text) {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export const get = async (path, options) => (await ask("GET", path, options)).body;

/// Begins something that takes long: answers with its operation at once.
export async function begin(method, path, options = {}) {
  const headers = { Prefer: "respond-async", ...(options.headers ?? {}) };
  return ask(method, path, { ...options, headers });
}

/// A part of an address.
export const part = (text) => encodeURIComponent(text);
