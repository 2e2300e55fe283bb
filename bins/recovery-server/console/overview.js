// The top of the page: the verdict, what to do next, and one line on what everything hangs on.

import { button, h, icon, render } from "./dom.js";
import { clock, duration, plural, relative, size } from "./format.js";
import { noticeOf } from "./notices.js";
import { fact, operations, running, state, value } from "./store.js";
import { LITTLE_ROOM, verdict } from "./verdict.js";

const LEVELS = { ok: "All is well", busy: "At work", warn: "Look at this", bad: "Something is wrong", unknown: "One moment" };

/// What the verdict is drawn from.
export function facts(now) {
  const status = value("status");
  return {
    connected: state.connected,
    lostAt: state.lostAt,
    status,
    services: value("services"),
    operation: state.signedIn ? running()[0] : status?.operation,
    operations: operations(),
    restores: value("restores"),
    now,
  };
}

/// `does` carries out what a verdict proposes.
export function renderVerdict(root, now, does) {
  const { level, text, next, action } = verdict(facts(now));
  const allowed = action && (action.does === "show" || state.signedIn);
  root.className = `verdict is-${level}`;
  document.title = `${level === "ok" ? "" : level === "busy" ? "… " : "! "}Nova Recovery`;
  render(
    root,
    icon(level === "unknown" ? "busy" : level),
    h(
      "div",
      null,
      h("p", { class: "eyebrow" }, LEVELS[level]),
      // Announced when the words change, and only then.
      h("p", { class: "sentence", role: "status" }, text),
      next && h("p", { class: "next" }, next),
      allowed && h("div", { class: "actions" }, button(action.label, () => does(action), { kind: "primary" })),
      action && !allowed && h("p", { class: "muted small" }, "Sign in to do that here."),
    ),
  );
}

/// Whether what is shown is from now.
export function renderConnection(root, now) {
  const lost = state.connected === false;
  const words = lost
    ? `Not connected since ${clock(state.lostAt ?? now, now)}`
    : state.connected === null
      ? "Connecting …"
      : state.live
        ? "Live"
        : `As of ${clock(state.answeredAt ?? now, now)}`;
  render(root, icon(lost ? "bad" : state.connected === null ? "busy" : "ok"), h("span", null, words));
  document.body.classList.toggle("is-stale", lost);
}

export function renderBanner(root, now) {
  render(
    root,
    noticeOf("page"),
    state.connected === false &&
      h(
        "div",
        { class: "notice is-bad", role: "alert", key: "lost" },
        icon("bad"),
        h(
          "p",
          null,
          h("strong", null, `Not connected since ${clock(state.lostAt ?? now, now)}. `),
          state.answeredAt ? `Everything below is from ${clock(state.answeredAt, now)}.` : "Nothing is known yet.",
        ),
      ),
  );
}

const OF_STATE = { up: ["ok", "answers"], down: ["bad", "does not answer"], unknown: ["unknown", "is being asked"] };

/// One line each on database, Redis, engine, disk and version.
export function renderFacts(root, now) {
  const { value: status, at } = fact("status");
  if (!status) {
    render(root);
    return;
  }
  const of = (name) => status.dependencies.find((own) => own.name === name) ?? { state: "unknown" };
  const { database, disk } = status;
  const [redis, docker, compose] = [of("redis"), of("docker"), of("compose")];
  const postgres = of("postgres");
  render(
    root,
    item(
      "Database",
      database.connected ? ["ok", "answers"] : OF_STATE[postgres.state === "up" ? "down" : postgres.state],
      [database.name, database.connected && `${database.size}, ${plural(database.table_count, "table")}`],
      database.server_version && `PostgreSQL ${database.server_version}`,
    ),
    item("Redis", OF_STATE[redis.state], [redis.since && `since ${relative(redis.since, now)}`], redis.version && `Redis ${redis.version}`),
    item("Engine", OF_STATE[docker.state], [docker.version && `Docker ${docker.version}`], compose.version && `Compose ${compose.version}`),
    disk
      ? item("Disk", disk.free_bytes / disk.total_bytes < LITTLE_ROOM ? ["warn", "nearly full"] : ["ok", "has room"], [`${size(disk.free_bytes)} of ${size(disk.total_bytes)} free`], `${size(status.backups.total_size_bytes)} of backups`)
      : item("Backups", ["ok", plural(status.backups.count, "backup")], [`${size(status.backups.total_size_bytes)} together`]),
    item("This service", ["ok", `version ${status.version}`], [`up ${duration((now - Date.parse(status.started_at)) / 1000)}`], now - at > 15_000 && `as of ${clock(at, now)}`),
  );
}

function item(label, [level, words], lines, small) {
  return h(
    "div",
    { class: "fact", key: `fact-${label}` },
    h("dt", null, label),
    h(
      "dd",
      null,
      h("span", { class: `state is-${level}` }, icon(level), words),
      lines.filter(Boolean).map((line) => h("span", { class: "line" }, line)),
      small && h("span", { class: "line muted" }, small),
    ),
  );
}
