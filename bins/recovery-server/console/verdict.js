// What is wrong, in one sentence, and what to do next. Pure: the same facts give the same words.

import { duration, list, plural, relative } from "./format.js";
import { exitWords, kindOf, serviceState } from "./words.js";

/// Below this part of the disk that is free there is a warning; below that one nothing else can be mended first.
export const LITTLE_ROOM = 0.05;
const NO_ROOM = 0.01;
/// For so long an interruption is told, in ms.
const LATELY = 86_400_000;
/// After so long the newest backup is old where none is made by itself, in seconds.
const OLD = 7 * 86_400;

/// These change what everything else works on.
const CRITICAL_WORK = new Set(["restore", "rollback", "factory_reset"]);

/// What others cannot do without is asked about first.
const MUST_BE_MEANT = new Set(["postgres", "redis"]);

/// In the order in which things want to be done: what others hang on stands before them.
const LOOKS = [fullDisk, critical, database, redis, services, littleRoom, work, interrupted, backups, engine, starting];

/// `{ level, text, next?, action? }`: `level` is ok, busy, warn, bad or unknown; `next` says what to do; `action` is
/// `{ label, does, target? }`, which the page turns into a button.
///
/// `facts`: `{ connected, lostAt, status, services, operation, operations, restores, now }`; what is not known is left
/// out. `operation` is running; `operations` are all that are known, newest first; `restores` can be taken back.
export function verdict(facts) {
  const { connected, lostAt, status, now } = facts;
  if (connected === false) {
    const since = lostAt ? ` for ${now - lostAt < 5000 ? "a moment" : duration((now - lostAt) / 1000)}` : "";
    return {
      level: "bad",
      text: `The recovery service has not answered${since}.`,
      next: "This page asks again by itself. If it stays like this, start the recovery container: docker compose up -d recovery.",
    };
  }
  if (!status) return { level: "unknown", text: "Looking at how things stand …" };
  for (const look of LOOKS) {
    const found = look(facts);
    if (found) return found;
  }
  return well(facts);
}

function critical({ operation, now }) {
  return operation && CRITICAL_WORK.has(operation.kind) ? underWay(operation, now, "Let it end before you do anything else.") : null;
}

function work(facts) {
  if (!facts.operation) return null;
  const elseWell = ![interrupted, backups, engine].some((look) => look(facts));
  return underWay(facts.operation, facts.now, elseWell ? "Everything else is well." : undefined);
}

function underWay(operation, now, next) {
  return {
    level: "busy",
    text: `${kindOf(operation.kind)} under way, begun ${relative(operation.started_at, now)}.`,
    next,
    action: { label: "Watch it", does: "show", target: "operations" },
  };
}

const find = (services, name) => services?.core?.find((service) => service.service === name);
const dependency = (status, name) => status.dependencies?.find((own) => own.name === name);

function database({ status, services, now }) {
  const { connected, error, hint, name } = status.database;
  if (connected) return null;
  if (!name) return { level: "bad", text: "No database is configured.", next: hint ?? "Set DATABASE_URL and start the service again." };
  const silent = !error || /does not answer|did not answer/.test(error);
  if (silent) return away("PostgreSQL", "postgres", hint, find(services, "postgres"), now);
  // The server answers; what it says is no matter of its container.
  const action = status.backups.count > 0 && /does not exist/.test(error) ? show("Show the backups", "backups") : undefined;
  return { level: "bad", text: error, next: hint, action };
}

function redis({ status, services, now }) {
  const own = dependency(status, "redis");
  return own?.state === "down" ? away("Redis", "redis", own.hint ?? own.error, find(services, "redis"), now) : null;
}

/// Something that everything hangs on does not answer: what its container has to do with it.
function away(title, name, hint, container, now) {
  const known = trouble(name, container, now);
  const say = (how, next, action) => ({ level: "bad", text: `${title} does not answer${how}.`, next, action });
  if (container?.status === "not_found") return say(known.how, `${hint ? `${hint} ` : ""}If it belongs to this stack: docker compose up -d ${name}.`);
  if (known) return say(known.how, known.next, known.action);
  if (container?.status !== "running") return say("", hint);
  if (container.health === "starting") return say("; its container is just starting", "Wait a moment. Its log says how far it is.", readLog(name));
  return say(", though its container runs", hint, readLog(name));
}

const readLog = (name) => ({ label: "Read its log", does: "logs", target: name });

/// What is wrong with a container as such, and what helps; `null` where it runs, or nobody knows.
function trouble(name, container, now) {
  const exited = container && exitWords(container, now);
  const restart = (label) => ({ label: `${label} ${name}${MUST_BE_MEANT.has(name) ? " …" : ""}`, does: "restart", target: name });
  const compose = (what) => `docker compose ${what} ${name}.`;
  switch (container?.status) {
    case "exited":
      return { how: `; its container ${exited || "has ended"}`, next: `Restart it.${killed(container)}`, action: restart("Restart") };
    case "restarting":
      return { how: `; its container restarts again and again${exited ? `: it ${exited}` : ""}`, next: `Its log says why.${killed(container)}`, action: readLog(name) };
    case "created":
      return { how: "; its container was made and never started", next: "Start it.", action: restart("Start") };
    case "paused":
      return { how: "; its container is paused", next: `Let it go on: ${compose("unpause")}` };
    case "removing":
      return { how: "; its container is being removed", next: `Make it anew: ${compose("up -d")}` };
    case "dead":
      return { how: "; its container is dead, the engine could not remove it", next: `Make it anew: ${compose("up -d --force-recreate")}` };
    case "not_found":
      return { how: "; it has no container", next: `Make it: ${compose("up -d")}` };
    case "running":
      if (container.health !== "unhealthy") return null;
      return { how: "; its health check fails", next: "Restart it; its log says why if that does not help.", action: restart("Restart") };
    default:
      return null;
  }
}

/// What a kill from outside may mean.
function killed({ last_exit: exit }) {
  return exit?.code === 137 ? " Code 137 is a kill, often for lack of memory." : "";
}

const show = (label, target) => ({ label, does: "show", target });

function engine({ status }) {
  const own = dependency(status, "docker");
  if (own?.state !== "down") return null;
  return {
    level: "warn",
    text: "The container engine does not answer, so nobody can tell how the services are.",
    next: own.hint ?? own.error,
  };
}

/// The services that the platform does not do without, except this one.
const counted = ({ services }) => [...(services?.core ?? []), ...(services?.other ?? [])].filter(({ service }) => service !== "recovery");

function services(facts) {
  const { now } = facts;
  const by = (level) => counted(facts).filter((service) => serviceState(service, now)[0] === level);
  const down = by("bad");
  const found = down.length > 0 ? down : by("warn");
  const level = down.length > 0 ? "bad" : "warn";
  if (found.length === 0) return null;
  if (found.length === 1) return notWell(level, found[0], now);
  const names = found.map(({ service }) => service);
  return {
    level,
    text: `${plural(names.length, "service")} not well: ${list(names.length > 4 ? [...names.slice(0, 3), `${names.length - 3} others`] : names)}.`,
    next: "Read the log of the first one: often the others wait for it.",
    action: show("Show the services", "services"),
  };
}

function notWell(level, own, now) {
  const { service: name, replicas } = own;
  const some = replicas && replicas.up < replicas.total && own.status === "running";
  if (some) return { level, text: `${name} is not well; ${replicas.up} of its ${replicas.total} containers are up.`, next: "Restart it.", action: { label: `Restart ${name}`, does: "restart", target: name } };
  const { how, next, action } = trouble(name, own, now) ?? { how: "" };
  return { level, text: `${name} is not well${how}.`, next, action };
}

function starting(facts) {
  const names = counted(facts).filter((own) => serviceState(own, facts.now)[0] === "busy").map(({ service }) => service);
  if (names.length === 0) return null;
  return { level: "busy", text: `${list(names)} ${names.length === 1 ? "is" : "are"} starting.`, next: "Everything else is well." };
}

const free = ({ disk }) => (Number.isFinite(disk?.free_bytes) && disk.total_bytes > 0 ? disk.free_bytes / disk.total_bytes : 1);

function fullDisk({ status }) {
  if (free(status) >= NO_ROOM) return null;
  return {
    level: "bad",
    text: `The disk with the backups is full${status.database.connected ? "" : ", and PostgreSQL does not answer"}.`,
    next: "Make room first: delete backups that nobody needs, or something else that lies there.",
    action: show("Show the backups", "backups"),
  };
}

function littleRoom({ status }) {
  if (free(status) >= LITTLE_ROOM) return null;
  return {
    level: "warn",
    text: `The disk with the backups is nearly full: ${Math.floor(100 * free(status))} % is free.`,
    next: "Delete backups that nobody needs, after you have downloaded one.",
    action: show("Show the backups", "backups"),
  };
}

/// Told until the same was begun again, or for a day.
function interrupted({ operations, now }) {
  const cut = operations?.find(({ state, finished_at: at }) => state === "interrupted" && now - Date.parse(at) < LATELY);
  if (!cut || operations.find(({ kind }) => kind === cut.kind) !== cut) return null;
  return {
    level: "warn",
    text: `${kindOf(cut.kind)} interrupted ${relative(cut.finished_at, now)}: the recovery service ended meanwhile.`,
    next: [cut.error?.detail, cut.error?.hint].filter(Boolean).join(" ") || undefined,
    action: show("Show what was done", "history"),
  };
}

function backups({ status, now }) {
  const { count, latest, error, hint } = status.backups;
  const { enabled, interval_seconds: interval, last_error: failed } = status.checkpoints ?? {};
  const drill = status.drill?.last;
  const make = { label: "Back up now", does: "backup" };
  if (error) return { level: "bad", text: `The backups cannot be listed. ${error}`, next: hint };
  if (count === 0) return { level: "warn", text: "There is no backup yet.", next: "Make one now.", action: make };
  if (failed) {
    const times = failed.failures > 1 ? `, ${failed.failures} times in a row` : "";
    return { level: "warn", text: `The last automatic backup failed${times}. ${failed.detail}`, next: failed.hint, action: make };
  }
  if (latest?.verification === "failed") {
    return { level: "warn", text: "The newest backup is damaged.", next: "Make another one, and look at the disk.", action: make };
  }
  if (drill?.result === "failed") {
    const found = { level: "warn", text: `A rehearsed restore of ${drill.filename} failed.` };
    if (drill.filename === latest?.filename) return { ...found, next: "Make another backup and rehearse that.", action: make };
    return { ...found, next: "Rehearse the newest backup: “Verify” with “Rehearse a restore”.", action: show("Show the backups", "backups") };
  }
  const age = (now - Date.parse(latest?.created_at)) / 1000;
  if (age > (enabled ? interval * 1.5 + 600 : OLD)) {
    return { level: "warn", text: `The newest backup is ${duration(age)} old.`, next: "Make one now.", action: make };
  }
  return null;
}

function well({ status, services, restores, now }) {
  const known = services && dependency(status, "docker")?.state === "up";
  const [kept] = restores ?? [];
  const made = `The newest backup was made ${relative(status.backups.latest.created_at, now)}.`;
  return {
    level: "ok",
    text: known ? "Everything runs." : "The database and Redis answer.",
    next: kept ? `${made} The database that was replaced ${relative(kept.restored_at, now)} is kept and can be brought back.` : made,
    action: kept ? show("Show it", "replaced") : undefined,
  };
}
