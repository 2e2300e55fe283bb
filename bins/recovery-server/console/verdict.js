// What is wrong, in one sentence, and what to do next. Pure: the same facts give the same words.

import { duration, list, plural, relative } from "./format.js";
import { kindOf, lastExit, serviceState } from "./words.js";

/// Below this part of the disk that is free there is a warning.
const LITTLE_ROOM = 0.05;

const CRITICAL_WORK = new Set(["restore", "rollback", "factory_reset"]);

/// `{ level, text, next?, action? }`: `level` is ok, busy, warn, bad or unknown; `next` says what to do; `action` is
/// `{ label, does, target? }`, which the page turns into a button.
///
/// `facts`: `{ connected, lostAt, status, services, operation, now }`; what is not known is left out.
export function verdict(facts) {
  const { connected, lostAt, status, now } = facts;
  if (connected === false) {
    const since = lostAt ? ` for ${duration((now - lostAt) / 1000)}` : "";
    return {
      level: "bad",
      text: `The recovery service has not answered${since}.`,
      next: "This page asks again by itself. If it stays like this, start the recovery container: docker compose up -d recovery.",
    };
  }
  if (!status) return { level: "unknown", text: "Looking at how things stand …" };
  return (
    critical(facts) ??
    database(facts) ??
    services(facts) ??
    redis(facts) ??
    disk(facts) ??
    work(facts) ??
    backups(facts) ??
    engine(facts) ??
    well(facts)
  );
}

function critical({ operation, now }) {
  return operation && CRITICAL_WORK.has(operation.kind) ? underWay(operation, now) : null;
}

function work(facts) {
  if (!facts.operation) return null;
  const elseWell = !backups(facts) && !engine(facts);
  return { ...underWay(facts.operation, facts.now), next: elseWell ? "Everything else is well." : undefined };
}

function underWay(operation, now) {
  const since = relative(operation.started_at, now);
  const begun = since === "just now" ? "just now" : since;
  return {
    level: "busy",
    text: `${kindOf(operation.kind)} under way, begun ${begun}.`,
    next: CRITICAL_WORK.has(operation.kind) ? "Let it end before you do anything else." : undefined,
    action: { label: "Watch it", does: "show", target: "operations" },
  };
}

const find = (services, name) => services?.core?.find((service) => service.service === name);
const dependency = (status, name) => status.dependencies?.find((own) => own.name === name);

function database({ status, services, now }) {
  const { connected, error, hint, name } = status.database;
  if (connected) return null;
  const container = find(services, "postgres");
  const dead = container && !["running", "unknown"].includes(container.status);
  if (dead) {
    const how = lastExit(container, now).replace(/^: /, "") || describe(container, now);
    const there = container.status !== "not_found";
    return {
      level: "bad",
      text: `PostgreSQL does not answer: its container ${there ? how : "does not exist"}.`,
      next: there ? "Start it again." : "Make it: docker compose up -d postgres.",
      action: there ? { label: "Restart postgres …", does: "restart", target: "postgres" } : undefined,
    };
  }
  if (name === null || name === undefined) {
    return { level: "bad", text: "No database is configured.", next: hint ?? "Set DATABASE_URL and start the service again." };
  }
  const action =
    container?.status === "running" ? { label: "Read its log", does: "logs", target: "postgres" } : undefined;
  return { level: "bad", text: `PostgreSQL does not answer. ${error ?? ""}`.trim(), next: hint, action };
}

function engine({ status }) {
  const own = dependency(status, "docker");
  if (own?.state !== "down") return null;
  return {
    level: "warn",
    text: "The container engine does not answer, so nobody can tell how the services are.",
    next: own.hint ?? own.error,
  };
}

function services({ services, now }) {
  const counted = [...(services?.core ?? []), ...(services?.other ?? [])].filter(({ service }) => service !== "recovery");
  const down = counted.filter((service) => serviceState(service, now)[0] === "bad");
  if (down.length === 0) return null;
  const [first] = down;
  if (down.length > 1) {
    const names = down.length > 4 ? [...down.slice(0, 3).map(({ service }) => service), `${down.length - 3} others`] : down.map(({ service }) => service);
    return {
      level: "bad",
      text: `${plural(down.length, "service")} not well: ${list(names)}.`,
      next: "Read the log of the first one: often the others wait for it.",
      action: { label: "Show the services", does: "show", target: "services" },
    };
  }
  const how = lastExit(first, now).replace(/^: /, "its container ");
  const missing = first.status === "not_found";
  return {
    level: "bad",
    text: `${first.service} is not well: ${how || describe(first, now)}.`,
    next: missing ? `Make it: docker compose up -d ${first.service}.` : "Restart it; its log says why if that does not help.",
    action: missing ? undefined : { label: `Restart ${first.service}`, does: "restart", target: first.service },
  };
}

function describe(service, now) {
  const words = serviceState(service, now)[1];
  return words.charAt(0).toLowerCase() + words.slice(1);
}

function redis({ status, now }) {
  const own = dependency(status, "redis");
  if (own?.state !== "down") return null;
  const since = own.since ? `, ${relative(own.since, now)}` : "";
  return {
    level: "warn",
    text: `Redis does not answer${since ? ` (since ${duration((now - Date.parse(own.since)) / 1000)})` : ""}.`,
    next: own.hint ?? own.error,
    action: { label: "Show the services", does: "show", target: "services" },
  };
}

function disk({ status }) {
  const { free_bytes: free, total_bytes: total } = status.disk ?? {};
  if (!Number.isFinite(free) || !total || free / total >= LITTLE_ROOM) return null;
  return {
    level: "warn",
    text: `The disk with the backups is nearly full: ${Math.floor((100 * free) / total)} % is free.`,
    next: "Delete backups that nobody needs, after you have downloaded one.",
    action: { label: "Show the backups", does: "show", target: "backups" },
  };
}

function backups({ status, now }) {
  const { count, latest, error, hint } = status.backups;
  const checkpoints = status.checkpoints ?? {};
  const make = { label: "Back up now", does: "backup" };
  if (error) return { level: "bad", text: `The backups cannot be listed. ${error}`, next: hint };
  if (count === 0) return { level: "warn", text: "There is no backup yet.", next: "Make one now.", action: make };
  if (checkpoints.last_error) {
    const { detail, hint: remedy, failures } = checkpoints.last_error;
    const times = failures > 1 ? `, ${failures} times in a row` : "";
    return { level: "warn", text: `The last automatic backup failed${times}. ${detail}`, next: remedy, action: make };
  }
  if (latest?.verification === "failed") {
    return { level: "warn", text: "The newest backup is damaged.", next: "Make another one, and look at the disk.", action: make };
  }
  if (status.drill?.last?.result === "failed") {
    return {
      level: "warn",
      text: `A rehearsed restore of ${status.drill.last.filename} failed.`,
      next: "Make another backup and rehearse that.",
      action: make,
    };
  }
  const age = (now - Date.parse(latest?.created_at)) / 1000;
  const interval = checkpoints.enabled ? checkpoints.interval_seconds : 7 * 86400;
  if (age > interval * 1.5 + 600) {
    return { level: "warn", text: `The newest backup is ${duration(age)} old.`, next: "Make one now.", action: make };
  }
  return null;
}

function well({ status, services, now }) {
  const when = relative(status.backups.latest.created_at, now);
  const known = services && dependency(status, "docker")?.state === "up";
  return {
    level: "ok",
    text: known ? "Everything runs." : "The database and Redis answer.",
    next: `The newest backup was made ${when}.`,
  };
}
