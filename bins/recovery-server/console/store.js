// What the page knows, how old each fact is, and who is told when something changes.

import { get, onAnswer, Problem } from "./api.js";

/// How many operations are remembered.
const OPERATIONS = 60;

/// Everything that is shown comes out of here.
export const state = {
  /// Whether the service answers: `null` until the first answer.
  connected: null,
  /// When the last answer came, and since when there is none, in milliseconds.
  answeredAt: null,
  lostAt: null,
  /// Whether somebody is signed in: `null` until that is known.
  signedIn: null,
  /// Why one has to sign in again.
  signInReason: null,
  /// Whether events arrive as they happen; else the service is asked.
  live: false,
  /// Facts by name: `{ value, at, problem, missing }`.
  facts: new Map(),
  /// Operations by id.
  operations: new Map(),
};

const views = new Set();
let scheduled = false;

/// Calls `view` after every change, once per frame at most.
export function onChange(view) {
  views.add(view);
}

export function changed() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    for (const view of views) view();
  });
}

onAnswer(({ reached, unauthorized }) => {
  const now = Date.now();
  if (reached) {
    state.answeredAt = now;
    state.lostAt = null;
  } else {
    state.lostAt ??= now;
  }
  if (state.connected !== reached) changed();
  state.connected = reached;
  if (unauthorized && state.signedIn) {
    state.signedIn = false;
    state.signInReason = "Your session has ended. Sign in again to go on.";
    changed();
  }
});

/// The value of a fact, or `undefined` while it is not known.
export const value = (name) => state.facts.get(name)?.value;

/// What is known of a fact.
export const fact = (name) => state.facts.get(name) ?? {};

const loading = new Map();

/// Asks for a fact. What was known stays when that fails, with the reason and its age.
export function load(name, path) {
  const underWay = loading.get(name);
  if (underWay) return underWay;
  const work = fetchFact(name, path).finally(() => loading.delete(name));
  loading.set(name, work);
  return work;
}

async function fetchFact(name, path) {
  const known = state.facts.get(name) ?? {};
  try {
    state.facts.set(name, { value: await get(path), at: Date.now() });
  } catch (error) {
    const problem = Problem.of(error);
    const missing = problem.status === 404;
    state.facts.set(name, missing ? { missing } : { ...known, problem });
  }
  changed();
}

/// Facts that everybody may see.
const OPEN = new Set(["status", "services", "backups", "categories"]);
const forgetters = new Set();

/// Calls `forgetter` when somebody signs out: what a module knows beside the facts goes with them.
export function onForget(forgetter) {
  forgetters.add(forgetter);
}

/// Forgets what only admins may see.
export function forget() {
  for (const name of [...state.facts.keys()]) if (!OPEN.has(name)) state.facts.delete(name);
  state.operations.clear();
  for (const forgetter of forgetters) forgetter();
  changed();
}

/// Takes an operation in, as it is now. One that has ended does not run again: answers can overtake events.
export function note(operation) {
  const known = state.operations.get(operation.id);
  if (known && known.state !== "running" && operation.state === "running") return;
  state.operations.set(operation.id, operation);
  if (state.operations.size > OPERATIONS) {
    const ended = [...state.operations.values()].filter(({ state }) => state !== "running");
    ended.sort((a, b) => a.started_at.localeCompare(b.started_at));
    for (const { id } of ended.slice(0, state.operations.size - OPERATIONS)) state.operations.delete(id);
  }
  changed();
}

/// The operations, newest first.
export function operations() {
  return [...state.operations.values()].sort((a, b) => b.started_at.localeCompare(a.started_at));
}

/// Those that are running, oldest first.
export const running = () => operations().filter((operation) => operation.state === "running").reverse();

/// A service changed; as it is now.
export function noteService(service) {
  const lists = value("services");
  if (!lists) return;
  for (const group of ["core", "optional", "other"]) {
    const index = (lists[group] ?? []).findIndex((own) => own.service === service.service);
    if (index >= 0) lists[group][index] = service;
  }
  state.facts.get("services").at = Date.now();
  changed();
}
