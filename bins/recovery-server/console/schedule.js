// What the service does by itself: backups at intervals, and rehearsals of restoring.

import { h, icon, render } from "./dom.js";
import { clock, duration, relative } from "./format.js";
import { drillWords } from "./backups.js";
import { value } from "./store.js";

export function renderSchedule(root, now) {
  const status = value("status");
  if (!status) {
    render(root);
    return;
  }
  render(root, h("h2", null, "Schedule and drills"), h("div", { class: "columns" }, checkpoints(status.checkpoints, now), drills(status.drill, now)));
}

function checkpoints({ enabled, interval_seconds: interval, last, next_due: next, last_error: error }, now) {
  return h(
    "section",
    { class: "card" },
    h("h3", null, "Automatic backups"),
    enabled
      ? h("p", { class: `state is-${error ? "bad" : "ok"}` }, icon(error ? "bad" : "ok"), error ? "The last one failed" : `Every ${duration(interval)}`)
      : h("p", { class: "state is-off" }, icon("off"), "Turned off"),
    h(
      "dl",
      { class: "details" },
      enabled && error && [h("dt", null, "Interval"), h("dd", null, `every ${duration(interval)}`)],
      h("dt", null, "Last"),
      h("dd", null, last ? `${relative(last, now)} (${clock(last, now)})` : "none yet"),
      next && [h("dt", null, "Next"), h("dd", null, Date.parse(next) <= now ? "due now" : `${relative(next, now)} (${clock(next, now)})`)],
    ),
    error && problem(error, now),
    !enabled && h("p", { class: "muted" }, "CHECKPOINT_INTERVAL_HOURS says how often; 0 turns them off."),
  );
}

function problem({ detail, hint, failures, at }, now) {
  return h(
    "div",
    { class: "notice is-bad" },
    icon("bad"),
    h("div", null, h("p", null, detail), hint && h("p", { class: "hint" }, hint), h("p", { class: "muted small" }, `${failures} in a row, the last ${at ? relative(at, now) : "lately"}`)),
  );
}

function drills({ last, last_verified_at: good, next_due: next } = {}, now) {
  const level = { verified: "ok", failed: "bad", could_not_verify: "warn" }[last?.result] ?? "off";
  return h(
    "section",
    { class: "card" },
    h("h3", null, "Restore drills"),
    h("p", { class: `state is-${level}` }, icon(level), last ? drillWords(last) : "None was made yet"),
    h(
      "dl",
      { class: "details" },
      last && [h("dt", null, "Last"), h("dd", null, `${relative(last.at, now)}, ${last.filename}`)],
      good && [h("dt", null, "Last good"), h("dd", null, relative(good, now))],
      h("dt", null, "Next"),
      h("dd", null, next ? (Date.parse(next) <= now ? "due now" : relative(next, now)) : "turned off"),
    ),
    last?.problems?.length > 0 && h("ul", null, last.problems.map((word) => h("li", null, word))),
    h("p", { class: "muted" }, "A drill restores the newest backup into a scratch database, compares every row count, and drops it."),
  );
}
