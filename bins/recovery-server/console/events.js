// What happens, as it happens: the event stream, read with `fetch`, since `EventSource` says nothing of how it failed.
// After a gap it goes on where it stopped; while it cannot be had, the service is asked every five seconds.

import { BASE, Problem } from "./api.js";
import { changed, fact, load, note, noteService, state } from "./store.js";
import { ended, settle } from "./notices.js";

/// How often the service is asked for what no event tells, and for everything while there are no events, in ms.
const EVERY = 5000;
/// After so long without a sign of life the stream is taken for dead: every 15 s there is one.
const SILENCE = 40_000;
/// The longest line that is kept, in characters.
const LONGEST = 4 * 1024 * 1024;

let last = null;
let abort = null;

/// What everybody may see.
export async function loadOpen() {
  await Promise.all([load("status", "status"), load("services", "services/all"), load("backups", "backups")]);
}

/// What admins see besides, as far as events do not tell it.
async function loadAdmin() {
  // Where the service looks after no inference servers, it has nothing to tell of them.
  const backend = fact("backend").missing ? null : load("backend", "inference/backend");
  await Promise.all([loadOperations(), load("restores", "restores"), load("audit", "audit?limit=50"), backend]);
}

async function loadOperations() {
  await load("operations", "operations");
  for (const operation of state.facts.get("operations")?.value ?? []) {
    note(operation);
    ended(operation);
  }
  state.facts.delete("operations");
}

/// Asks for everything that may have changed.
export async function refresh() {
  await Promise.all([loadOpen(), state.signedIn ? loadAdmin() : null]);
  settle();
}

/// Keeps the page up to date from here on.
export function watch() {
  let turn = 0;
  setInterval(() => {
    if (document.hidden) return;
    turn += 1;
    if (!state.live || turn % 6 === 0) refresh();
    else load("status", "status");
  }, EVERY);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  stream();
}

/// Begins the stream, now that somebody has signed in; ends it after a sign-out.
export function restartStream() {
  abort?.abort();
  last = null;
}

async function stream() {
  for (let failures = 0; ; ) {
    if (state.signedIn) {
      const begun = Date.now();
      await read().catch(() => undefined);
      failures = Date.now() - begun > 10_000 ? 0 : failures + 1;
      if (state.live) {
        state.live = false;
        changed();
      }
    } else {
      failures = 0;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** Math.min(failures, 4), EVERY)));
  }
}

async function read() {
  abort = new AbortController();
  let silence = setTimeout(() => abort.abort(), SILENCE);
  try {
    const headers = { Accept: "text/event-stream" };
    if (last !== null) headers["Last-Event-ID"] = last;
    const response = await fetch(`${BASE}/events`, { headers, signal: abort.signal });
    if (!response.ok) {
      if (response.status === 401) await load("restores", "restores");
      throw new Problem({ status: response.status });
    }
    const resumed = last !== null;
    state.live = true;
    changed();
    // What happened before the stream stood is no event of it.
    if (!resumed) refresh();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE);
      state.answeredAt = Date.now();
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      if (rest.length > LONGEST) throw new Problem({ detail: "an event without an end" });
      blocks.forEach(take);
    }
  } finally {
    clearTimeout(silence);
  }
}

function take(block) {
  const event = { name: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const text = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "id") last = text;
    else if (field === "event") event.name = text;
    else if (field === "data") event.data += text;
  }
  if (!event.data) return;
  let data;
  try {
    data = JSON.parse(event.data);
  } catch {
    return;
  }
  if (event.name === "operation") {
    note(data);
    if (data.state !== "running") {
      ended(data);
      refreshSoon();
    }
  } else if (event.name === "service") {
    noteService(data);
    refreshSoon();
  } else if (event.name === "inference") {
    state.facts.set("backend", { value: data, at: Date.now() });
    changed();
  } else if (event.name === "reset") {
    refresh();
  }
}

let soon = null;

/// After an operation much may be otherwise; when many end at once, one look is enough.
function refreshSoon() {
  soon ??= setTimeout(() => {
    soon = null;
    refresh();
  }, 300);
}
