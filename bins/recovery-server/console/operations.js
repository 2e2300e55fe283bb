// What is running: its phases, how far it is, how long it will take, and stopping it.

import { ask, part } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { clock, count, duration, plural, relative, size } from "./format.js";
import { act, isBusy, noticeOf } from "./notices.js";
import { operations, running, state, value } from "./store.js";
import { kindOf, sentence, STATES } from "./words.js";

/// After so long in a phase its speed says something about the rest, in ms.
const MEASURED = 2000;
/// How many operations that have ended are shown.
const ENDED = 6;

/// By operation: the phases that were seen, and where the present one began.
const seen = new Map();

/// Takes down how far everything is; called before each drawing.
function follow(operation, now) {
  let own = seen.get(operation.id);
  if (!own) {
    own = { phases: [], since: now, from: operation.progress.done };
    seen.set(operation.id, own);
    if (seen.size > 50) seen.delete(seen.keys().next().value);
  }
  if (own.phases[own.phases.length - 1] !== operation.progress.phase) {
    own.phases.push(operation.progress.phase);
    own.since = now;
    own.from = operation.progress.done;
  }
  return own;
}

/// How long the present phase will still take, in seconds; `null` where nobody can tell.
function timeLeft({ done, total }, { since, from }, now) {
  const gone = done - from;
  if (!total || gone <= 0 || now - since < MEASURED) return null;
  return (((total - done) / gone) * (now - since)) / 1000;
}

function amount({ done, total, unit, tables }) {
  const words = unit === "bytes" ? size : count;
  const suffix = unit === "bytes" ? "" : ` ${unit}`;
  const of = total ? `${words(done)} of ${words(total)}${suffix}` : done ? `${words(done)}${suffix}` : "";
  const inTables = tables ? `table ${count(tables[0])} of ${count(tables[1])}` : "";
  return [of, inTables].filter(Boolean).join(", ");
}

export function renderRunning(root, now) {
  const list = state.signedIn ? running() : [value("status")?.operation].filter(Boolean);
  root.hidden = list.length === 0;
  render(
    root,
    list.length > 0 && h("h2", null, list.length === 1 ? "Running now" : `${plural(list.length, "operation")} running`),
    list.map((operation) => one(operation, now)),
  );
  announce(list[0]);
}

function one(operation, now) {
  const { progress } = operation;
  const own = follow({ id: "open", ...operation }, now);
  const known = progress.total > 0;
  const percent = known ? Math.min(100, Math.floor((100 * progress.done) / progress.total)) : null;
  const left = timeLeft(progress, own, now);
  const place = `cancel-${operation.id}`;
  const passed = own.phases.slice(0, -1);
  return h(
    "article",
    { class: "operation", key: operation.id ?? "open" },
    h(
      "div",
      { class: "head" },
      h("h3", null, kindOf(operation.kind), operation.target && h("span", { class: "target" }, operation.target)),
      operation.id &&
        button("Cancel", () => act(place, () => ask("POST", `operations/${part(operation.id)}/cancel`)), {
          busy: isBusy(place),
          describe: kindOf(operation.kind),
        }),
    ),
    h("progress", { max: "100", value: known ? String(percent) : null, "aria-label": `${kindOf(operation.kind)}: ${progress.phase}` }),
    h(
      "p",
      { class: "numbers" },
      h("span", { class: "strong" }, sentence(progress.phase || "beginning")),
      amount(progress) && h("span", null, amount(progress)),
      left !== null && h("span", null, `about ${duration(Math.max(1, left))} left`),
      h("span", { class: "muted" }, `begun ${relative(operation.started_at, now)}${operation.actor ? ` by ${operation.actor}` : ""}`),
    ),
    passed.length > 0 &&
      h("ol", { class: "phases", "aria-label": "Phases that are over" }, passed.map((phase) => h("li", null, icon("ok"), sentence(phase)))),
    noticeOf(place),
  );
}

let announced = "";

/// Says aloud where the work is, at each phase and each quarter of one: more would be noise.
function announce(operation) {
  const room = document.getElementById("announcer");
  let words = "";
  if (operation) {
    const { phase, done, total } = operation.progress;
    const quarter = total > 0 ? Math.floor((4 * done) / total) * 25 : null;
    words = `${kindOf(operation.kind)}: ${phase}${quarter ? `, ${quarter} percent` : ""}`;
  }
  if (words !== announced) {
    announced = words;
    room.textContent = words;
  }
}

/// Those that have ended lately.
export function renderEnded(root, now) {
  const list = operations().filter((operation) => operation.state !== "running").slice(0, ENDED);
  render(
    root,
    h("h3", null, "Lately"),
    list.length === 0 && h("p", { class: "muted" }, "Nothing was done since the service started."),
    h(
      "ul",
      { class: "plain" },
      list.map((operation) => {
        const [level, words] = STATES[operation.state] ?? ["unknown", operation.state];
        return h(
          "li",
          { key: operation.id, class: "entry" },
          icon(level),
          h(
            "div",
            null,
            h("p", null, h("span", { class: "strong" }, kindOf(operation.kind)), " ", words, operation.target && h("span", { class: "target" }, operation.target)),
            operation.error && h("p", null, operation.error.detail),
            operation.error?.hint && h("p", { class: "hint" }, operation.error.hint),
            h("p", { class: "muted small" }, `${clock(operation.finished_at ?? operation.started_at, now)} · ${operation.actor}`),
          ),
        );
      }),
    ),
  );
}
