// The services of the platform: how each is, what it printed, and restarting it.

import { begin, get, part } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { confirm } from "./dialog.js";
import { plural } from "./format.js";
import { act, fail, isBusy, noticeOf, staleness } from "./notices.js";
import { changed, fact, onForget, state } from "./store.js";
import { serviceState } from "./words.js";

const CRITICAL = { postgres: "Everything that uses the database stops for some seconds.", redis: "Nova's queues and settings are away for some seconds.", recovery: "This page is away for some seconds, and you have to sign in again." };
const LINES = [100, 500, 2000];

/// Open log drawers, by service: `{ tail, lines, truncated }`.
const logs = new Map();
onForget(() => logs.clear());

export function renderServices(root, now) {
  const own = fact("services");
  const lists = own.value;
  render(
    root,
    head(lists),
    staleness(own, now),
    noticeOf("services"),
    lists && group("Core", lists.core, now, "Nova does not work without these."),
    lists && group("Optional", lists.optional, now, "Each belongs to a Compose profile. Starting or stopping one touches its own services only."),
    lists && group("Others", lists.other, now, "What else belongs to the same Compose project."),
  );
}

function head(lists) {
  const restart = () =>
    confirm({
      title: "Restart all services?",
      body: h("p", null, "Every service that runs is restarted, one after the other, except postgres, redis, recovery and the inference servers. The Dashboard comes last."),
      action: "Restart all",
    }).then((yes) => yes && act("services", () => begin("POST", "services/restart-all"), { done: allRestarted }));
  return h(
    "div",
    { class: "head" },
    h("h2", null, "Services"),
    state.signedIn && lists && button("Restart all …", restart, { busy: isBusy("services") }),
  );
}

function allRestarted(results) {
  const list = Array.isArray(results) ? results : (results?.services ?? []);
  const failed = list.filter(({ ok }) => !ok);
  if (failed.length === 0) return `${plural(list.length, "service")} restarted.`;
  return `${list.length - failed.length} restarted. Not: ${failed.map(({ service, error }) => `${service} (${error})`).join("; ")}`;
}

function group(title, services, now, about) {
  if (!services?.length) return null;
  return h(
    "section",
    { class: "group", key: `group-${title}` },
    h("h3", null, title, h("span", { class: "about" }, about)),
    h("ul", { class: "rows" }, services.map((service, index) => row(service, now, services.slice(0, index)))),
  );
}

function row(service, now, before) {
  const { service: name, ports, profile, status } = service;
  const [level, words] = serviceState(service, now);
  const place = `service-${name}`;
  const open = logs.get(name);
  const there = status !== "not_found";
  const busy = isBusy(place);
  const changing = profile && isBusy(`profile-${profile}`);
  return h(
    "li",
    { key: name, class: "item" },
    h(
      "div",
      { class: "line-up" },
      h("div", { class: "name" }, h("span", { class: "strong" }, name), profile && h("span", { class: "tag" }, profile)),
      h("span", { class: `state is-${level}` }, icon(level), busy ? "Restarting …" : changing ? "Being changed …" : words),
      h("span", { class: "ports muted" }, ports?.length ? `port ${ports.join(", ")}` : ""),
      h(
        "div",
        { class: "actions" },
        state.signedIn && profile && !before.some((own) => own.profile === profile) && profileButton(service),
        state.signedIn && there && button(open ? "Hide log" : "Log", () => toggleLog(name), { kind: "quiet", describe: name }),
        state.signedIn &&
          there &&
          button(CRITICAL[name] ? "Restart …" : "Restart", () => restart(name), { busy, describe: name }),
      ),
    ),
    noticeOf(place),
    profile && noticeOf(`profile-${profile}`),
    state.signedIn && open && drawer(name, open),
  );
}

/// Starts or stops the profile that a service belongs to. Services of one profile come and go together.
function profileButton({ profile, status }) {
  const place = `profile-${profile}`;
  const action = status === "running" || status === "restarting" ? "stop" : "start";
  const change = () =>
    act(place, () => begin("POST", "compose-profiles", { body: { profile, action } }), {
      done: (result) => [`${profile} was ${action === "start" ? "started" : "stopped"}.`, ...(result?.warnings ?? [])].join(" "),
    });
  return button(action === "start" ? "Start" : "Stop", change, { busy: isBusy(place), describe: `profile ${profile}` });
}

/// Restarts a service; one that others cannot do without must be meant.
export async function restart(name) {
  const place = `service-${name}`;
  let body;
  if (CRITICAL[name]) {
    const yes = await confirm({
      title: `Restart ${name}?`,
      body: h("p", null, CRITICAL[name]),
      typed: { what: "its name", text: name },
      action: `Restart ${name}`,
      danger: true,
    });
    if (!yes) return;
    body = { confirm: name };
  }
  await act(place, () => begin("POST", `services/${part(name)}/restart`, { body: body ?? {} }), {
    done: (result) => {
      if (result?.action === "restarting") return `${name} is being restarted.`;
      const others = result?.also_restarted ?? [];
      return `${name} was restarted and is up${others.length ? `, and with it ${others.join(", ")}` : ""}.`;
    },
  });
}

async function toggleLog(name) {
  if (logs.delete(name)) changed();
  else await openLog(name);
}

/// Opens the log of a service and reads it.
export async function openLog(name, tail = LINES[0]) {
  logs.set(name, { ...logs.get(name), tail });
  changed();
  try {
    const { lines, truncated } = await get(`services/${part(name)}/logs?tail=${tail}`);
    if (logs.has(name)) logs.set(name, { tail, lines, truncated });
  } catch (error) {
    logs.delete(name);
    fail(`service-${name}`, error);
  }
  changed();
  requestAnimationFrame(() => {
    const pre = document.getElementById(`log-${name}`);
    if (pre) pre.scrollTop = pre.scrollHeight;
  });
}

function drawer(name, { tail, lines, truncated }) {
  const containers = new Set((lines ?? []).map((line) => line.container_name));
  const text = (line) => `${containers.size > 1 ? `${line.container_name} | ` : ""}${line.text}\n`;
  const id = `tail-${name}`;
  return h(
    "div",
    { class: "drawer", key: `drawer-${name}` },
    h(
      "div",
      { class: "head" },
      h("label", { for: id }, "Last lines"),
      h(
        "select",
        { id, on: { change: (event) => openLog(name, Number(event.target.value)) } },
        LINES.map((number) => h("option", { value: number, selected: number === tail }, String(number))),
      ),
      button("Read again", () => openLog(name, tail), { kind: "quiet", describe: `log of ${name}` }),
    ),
    truncated && h("p", { class: "muted small" }, "Earlier lines were left out: they were too many bytes."),
    h(
      "pre",
      { id: `log-${name}`, class: "log", tabindex: "0", role: "region", "aria-label": `Log of ${name}` },
      lines === undefined ? "Reading …" : lines.length === 0 ? "It has printed nothing." : lines.map((line) => h("span", { class: line.stream }, text(line))),
    ),
  );
}
