// What came of an action, shown where the action was. It stays until somebody dismisses it.

import { Problem } from "./api.js";
import { button, h, icon } from "./dom.js";
import { changed, note, onForget, state } from "./store.js";
import { clock } from "./format.js";

/// By place: `{ problem }` or `{ text, level }`.
const notices = new Map();
/// Places where something is being asked right now.
const asking = new Set();
/// By the id of an operation: where it was begun, and what to say when it has succeeded.
const followed = new Map();
onForget(() => {
  notices.clear();
  followed.clear();
});

/// Whether something that was begun at this place is still under way.
export function isBusy(place) {
  if (asking.has(place)) return true;
  return [...followed].some(([id, own]) => own.place === place && state.operations.get(id)?.state === "running");
}

/// Does something at a place: keeps it from being done twice, shows what came of it there. Where the service answers
/// with an operation, that is followed to its end. `done` makes the words for the result; `after` is called with it.
export async function act(place, work, { done, after } = {}) {
  if (isBusy(place)) return;
  asking.add(place);
  notices.delete(place);
  changed();
  try {
    const answer = await work();
    const operation = answer?.status === 202 && answer.body?.state ? answer.body : null;
    if (operation) {
      followed.set(operation.id, { place, done, after });
      note(operation);
      ended(state.operations.get(operation.id));
    } else {
      succeed(place, done, after, answer?.body);
    }
  } catch (error) {
    fail(place, error);
  } finally {
    asking.delete(place);
    changed();
  }
}

/// An operation as it is now: where it has ended, the place where it was begun says so.
export function ended(operation) {
  const own = followed.get(operation.id);
  if (!own || operation.state === "running") return;
  followed.delete(operation.id);
  if (operation.state === "succeeded") {
    succeed(own.place, own.done, own.after, operation.result);
  } else if (operation.state === "cancelled") {
    tell(own.place, "It was cancelled; nothing was changed.", "warn");
  } else {
    fail(own.place, new Problem({ title: "It did not succeed", status: 500, ...(operation.error ?? {}) }));
  }
}

/// Operations that are followed and of which the service knows no more were forgotten by it: their end is not known.
export function settle() {
  for (const [id, { place }] of followed) {
    if (state.operations.has(id)) continue;
    followed.delete(id);
    tell(place, "The service does not know this operation any more. Look below at what is so now.", "warn");
  }
}

function succeed(place, done, after, result) {
  after?.(result);
  const text = done?.(result);
  if (text) tell(place, text, "ok");
}

/// Says something at a place.
export function tell(place, text, level = "ok") {
  notices.set(place, { text, level, at: Date.now() });
  changed();
}

/// Shows a problem at a place.
export function fail(place, error) {
  notices.set(place, { problem: Problem.of(error), at: Date.now() });
  changed();
}

function dismiss(place) {
  notices.delete(place);
  changed();
}

/// The notice of a place, if there is one.
export function noticeOf(place) {
  const notice = notices.get(place);
  if (!notice) return null;
  const close = button("Dismiss", () => dismiss(place), { kind: "quiet small", describe: "this message" });
  if (!notice.problem) {
    return h(
      "div",
      { class: `notice is-${notice.level}`, role: "status", key: `notice-${place}` },
      icon(notice.level),
      h("p", null, notice.text, " ", h("span", { class: "when" }, clock(notice.at))),
      close,
    );
  }
  const { title, detail, hint, errors } = notice.problem;
  return h(
    "div",
    { class: "notice is-bad", role: "alert", key: `notice-${place}` },
    icon("bad"),
    h(
      "div",
      null,
      h("p", { class: "strong" }, title, " ", h("span", { class: "when" }, clock(notice.at))),
      h("p", null, detail),
      errors.length > 0 && h("ul", null, errors.map(({ field, message }) => h("li", null, `${field}: ${message}`))),
      hint && h("p", { class: "hint" }, hint),
    ),
    close,
  );
}

/// A fact that is not to be had, or is old: why, and how old.
export function staleness({ at, problem, value }, now) {
  if (!problem) return null;
  const age = value !== undefined && at ? ` What is shown is from ${clock(at, now)}.` : "";
  return h(
    "div",
    { class: "notice is-warn", key: "stale" },
    icon("warn"),
    h("div", null, h("p", null, problem.detail, age), problem.hint && h("p", { class: "hint" }, problem.hint)),
  );
}
