// The backups: how old, how big, how proven each is; making, checking, keeping, fetching, taking in, deleting.

import { ask, BASE, begin, part } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { confirm } from "./dialog.js";
import { clock, count, plural, relative, size } from "./format.js";
import { act, fail, isBusy, noticeOf, staleness } from "./notices.js";
import { changed, fact, load, state, value } from "./store.js";
import { backupKind, proofOf } from "./words.js";
import { restore } from "./restore.js";

/// How many are shown until somebody asks for all.
const FEW = 8;
const LEVELS = [
  ["hashes", "Hash every byte"],
  ["contents", "Read it to its end"],
  ["restore", "Rehearse a restore"],
];

const open = new Set();
let all = false;
let uploading = false;

const reload = () => load("backups", "backups");

/// Makes a backup.
export function backUp() {
  return act("backups", () => begin("POST", "backups"), {
    done: (made) => `Backed up: ${made?.filename ?? "the backup"} is complete and was read back.${made?.removed?.length ? ` ${plural(made.removed.length, "old backup")} went.` : ""}`,
    after: reload,
  });
}

export function renderBackups(root, now) {
  const own = fact("backups");
  const list = own.value;
  const shown = list && (all ? list : list.slice(0, FEW));
  render(
    root,
    head(list),
    staleness(own, now),
    noticeOf("backups"),
    list?.length === 0 && h("p", { class: "empty" }, "There is no backup yet. Make one now: it takes seconds, and nothing has to stop for it."),
    shown && h("ul", { class: "rows" }, shown.map((backup) => row(backup, now))),
    list && list.length > FEW &&
      button(all ? "Show fewer" : `Show all ${count(list.length)}`, () => {
        all = !all;
        changed();
      }, { kind: "quiet", key: "all" }),
  );
}

function head(list) {
  const total = (list ?? []).reduce((sum, { size_bytes: bytes }) => sum + bytes, 0);
  const input = h("input", { id: "upload", type: "file", accept: ".tar,.gz", class: "hidden-input", "aria-label": "Upload a backup", on: { change: upload } });
  return h(
    "div",
    { class: "head" },
    h("h2", null, "Backups", list && h("span", { class: "about" }, `${plural(list.length, "backup")}, ${size(total)}`)),
    state.signedIn &&
      h(
        "div",
        { class: "actions" },
        h("span", { class: "upload" }, input, h("label", { for: "upload", class: "button quiet" }, uploading ? "Uploading …" : "Upload …")),
        button("Back up now", backUp, { kind: "primary", busy: isBusy("backups") }),
      ),
  );
}

async function upload(event) {
  const [file] = event.target.files;
  if (!file) return;
  event.target.value = "";
  // A file that is no archive need not travel to be refused.
  if (file.size === 0) {
    fail("backups", { message: `${file.name} is empty.` });
    return;
  }
  const named = /^nova-[a-z]+-[0-9_-]+\.tar(\.gz)?$/.test(file.name) ? `?filename=${part(file.name)}` : "";
  const headers = { "Content-Type": "application/octet-stream" };
  uploading = true;
  await act("backups", () => begin("POST", `backups/upload${named}`, { raw: file, headers, signal: new AbortController().signal }), {
    done: (taken) => `Taken in: ${taken?.filename ?? file.name}. Every file in it was decoded.`,
    after: reload,
  });
  uploading = false;
  changed();
}

function row(backup, now) {
  const { filename, created_at: at, size_bytes: bytes, kind, pinned, uploaded } = backup;
  const [level, words] = proofOf(backup, now);
  const place = `backup-${filename}`;
  const isOpen = open.has(filename);
  const toggle = () => {
    if (!open.delete(filename)) open.add(filename);
    changed();
  };
  return h(
    "li",
    { key: filename, class: "item" },
    h(
      "div",
      { class: "line-up backup" },
      h(
        "div",
        { class: "name" },
        h("span", { class: "strong", title: clock(at, now) }, relative(at, now)),
        h("span", { class: "tag" }, backupKind(kind)),
        pinned && h("span", { class: "tag strong-tag" }, "Pinned"),
        uploaded && h("span", { class: "tag" }, "Uploaded"),
      ),
      h("span", { class: "amount" }, size(bytes)),
      h("span", { class: `state is-${level}` }, icon(level), words),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", class: "button quiet", "aria-expanded": String(isOpen), "aria-label": `${isOpen ? "Less" : "More"} about ${filename}`, on: { click: toggle } }, isOpen ? "Less" : "More"),
        state.signedIn && button("Restore …", () => restore(backup), { busy: isBusy(`restore-${filename}`), describe: filename }),
      ),
    ),
    noticeOf(place),
    noticeOf(`restore-${filename}`),
    isOpen && details(backup, place, now),
  );
}

function details(backup, place, now) {
  const { filename, problems, warnings, files, last_drill: drill, server_version: server, client_version: client } = backup;
  return h(
    "div",
    { class: "drawer", key: `drawer-${filename}` },
    h(
      "dl",
      { class: "details" },
      pair("File", h("code", null, filename)),
      pair("Made", `${clock(backup.created_at, now)} (${relative(backup.created_at, now)})`),
      backup.database && pair("Database", backup.database),
      server && pair("From", `PostgreSQL ${server}${client ? `, by pg_dump ${client}` : ""}`),
      pair("Proof", `${proofOf(backup, now)[1]}${backup.verified_at ? `; last checked ${clock(backup.verified_at, now)}` : ""}`),
      drill && pair("Last rehearsal", `${drillWords(drill)} ${relative(drill.at, now)}, in ${drill.duration_seconds} s`),
      files?.length > 0 && pair("Holds too", files.map((own) => `${own.name} (${plural(own.files, "file")}, ${size(own.bytes)})`).join(", ")),
    ),
    problems?.length > 0 && list("What is wrong with it", problems),
    drill?.problems?.length > 0 && list("What the rehearsal found", drill.problems),
    warnings?.length > 0 && list("To know before it is restored", warnings),
    state.signedIn && buttons(backup, place),
  );
}

export const drillWords = ({ result }) => ({ verified: "Good", failed: "Failed", could_not_verify: "Could not be made" })[result] ?? result;

const pair = (term, text) => [h("dt", null, term), h("dd", null, text)];

const list = (title, words) => [h("h4", null, title), h("ul", null, words.map((word) => h("li", null, word)))];

function buttons(backup, place) {
  const { filename, pinned } = backup;
  const path = `backups/${part(filename)}`;
  const levelId = `level-${filename}`;
  const busy = isBusy(place);
  const verify = () => {
    const level = document.getElementById(levelId).value;
    return act(place, () => begin("POST", `${path}/verify`, { body: { level } }), { done: verified, after: reload });
  };
  const pin = () =>
    act(place, () => ask("POST", `${path}/${pinned ? "unpin" : "pin"}`), {
      done: () => (pinned ? "No longer pinned: it goes when its time is over." : "Pinned: it stays until somebody unpins it."),
      after: reload,
    });
  return h(
    "div",
    { class: "actions wrap" },
    h(
      "span",
      { class: "joined" },
      h("label", { for: levelId, class: "visually-hidden" }, "How thoroughly"),
      h("select", { id: levelId }, LEVELS.map(([level, words]) => h("option", { value: level, selected: level === "contents" }, words))),
      button("Verify", verify, { busy, describe: filename }),
    ),
    button(pinned ? "Unpin" : "Pin", pin, { busy, describe: filename }),
    h("a", { class: "button", href: `${BASE}/${path}/download`, download: filename, "aria-label": `Download ${filename}` }, "Download"),
    button("Delete …", () => remove(backup, place), { kind: "danger-quiet", busy, disabled: pinned, describe: filename }),
    pinned && h("span", { class: "muted small" }, "Unpin it before it can be deleted."),
  );
}

function verified(report) {
  if (!report) return "Checked.";
  const { verification, problems = [], notes = [], drill } = report;
  if (verification === "failed") return `It is damaged: ${problems.join(" ")}`;
  if (drill && drill.result === "could_not_verify") return `The rehearsal could not be made: ${drill.problems.join(" ")}`;
  return `It is good. ${notes.join(" ")}`.trim();
}

async function remove(backup, place) {
  const { filename } = backup;
  const others = (value("backups") ?? []).filter((own) => own.filename !== filename && own.verification === "verified");
  const yes = await confirm({
    title: "Delete this backup?",
    body: [
      h("p", null, h("code", null, filename), `, ${size(backup.size_bytes)}, made ${relative(backup.created_at, Date.now())}. It cannot be brought back.`),
      others.length === 0 && h("p", { class: "warning" }, icon("warn"), "There is no other verified backup."),
    ],
    action: "Delete it",
    danger: true,
  });
  if (!yes) return;
  await act(place, () => begin("DELETE", `backups/${part(filename)}`), { after: reload });
}
