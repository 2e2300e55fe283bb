// Factory reset: what to keep, what would go in real numbers, and only then the reset itself.

import { ask, begin } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { count, list, plural, size } from "./format.js";
import { act, fail, isBusy, noticeOf, staleness } from "./notices.js";
import { changed, fact, load, onForget, state } from "./store.js";
import { refresh } from "./events.js";

const PLACE = "reset";
const WORD = "RESET";

/// The keys of the categories that are kept; `null` until the list is there.
let keep = null;
/// What the preview of exactly these said: `{ keep, body }`.
let preview = null;
onForget(() => {
  preview = null;
});

export const loadCategories = () => load("categories", "factory-reset/categories");

export function renderReset(root, now) {
  const own = fact("categories");
  root.hidden = !state.signedIn || own.missing || (!own.value && !own.problem);
  if (root.hidden) {
    render(root);
    return;
  }
  const categories = own.value ?? [];
  keep ??= own.value ? new Set(categories.filter((category) => category.default_keep).map(({ key }) => key)) : null;
  const wiped = categories.filter(({ key }) => !keep?.has(key));
  render(
    root,
    h("h2", null, "Factory reset"),
    h("p", { class: "lead" }, "Deletes what is not kept, for good. A safety backup is made first; nothing is deleted if that fails, or if something that is kept would be lost on the way."),
    staleness(own, now),
    keep && h("fieldset", { class: "categories" }, h("legend", null, "Keep"), categories.map(category)),
    keep &&
      h(
        "div",
        { class: "actions wrap" },
        button("Preview", look, { kind: "primary", busy: isBusy(PLACE), disabled: wiped.length === 0 }),
        h("span", { class: "muted" }, wiped.length ? `Goes: ${wiped.map(({ label }) => label).join(", ")}` : "Everything is kept: there is nothing to reset."),
      ),
    keep && choices(),
    noticeOf(PLACE),
    preview && shown(wiped),
  );
}

function category({ key, label, description, destructive_warning: warning }) {
  const id = `keep-${key}`;
  const kept = keep.has(key);
  const toggle = () => {
    if (!keep.delete(key)) keep.add(key);
    preview = null;
    changed();
  };
  return h(
    "div",
    { class: `category ${kept ? "" : "is-wiped"}`, key: id },
    h("input", { type: "checkbox", id, checked: kept, "aria-describedby": `${id}-about`, on: { change: toggle } }),
    h(
      "div",
      null,
      h("label", { for: id, class: "strong" }, label),
      h("p", { class: "muted small", id: `${id}-about` }, description),
      warning && !kept && h("p", { class: "warning" }, icon("warn"), warning),
    ),
  );
}

function look() {
  const kept = [...keep];
  return act(PLACE, () => ask("POST", "factory-reset/preview", { body: { keep: kept, ...chosen() } }), {
    after: (body) => {
      preview = { keep: kept, chosen: chosen(), body };
      changed();
      requestAnimationFrame(() => document.getElementById("preview-title")?.focus());
    },
  });
}

/// What may be chosen besides, each with what it means. Nothing of it is usual.
const CHOICES = [
  ["accept_partial", true, "Go on where Redis or a directory is away; what is there is reset."],
  ["include_pinned", true, "Delete pinned backups too, where backups go."],
  ["safety_backup", false, "Make no safety backup: for a database that is too broken for one. There is no way back then."],
];
const ticked = new Set();
const chosen = () => Object.fromEntries(CHOICES.filter(([name]) => ticked.has(name)).map(([name, meant]) => [name, meant]));

function choices() {
  const toggle = (name) => () => {
    if (!ticked.delete(name)) ticked.add(name);
    preview = null;
    changed();
  };
  return h(
    "details",
    { key: "choices" },
    h("summary", null, "When something is broken"),
    CHOICES.map(([name, , words]) =>
      h("p", { class: "category", key: name }, h("input", { type: "checkbox", id: `choice-${name}`, on: { change: toggle(name) } }), h("label", { for: `choice-${name}` }, words)),
    ),
  );
}

function shown(wiped) {
  const { body } = preview;
  return h(
    "section",
    { class: "card", key: "preview" },
    h("h3", { id: "preview-title", tabindex: "-1" }, body.possible ? "What would go" : "This cannot be done as it is"),
    (body.conflicts ?? []).map(({ message, hint }) => said("bad", message, hint)),
    body.redis_error && said("bad", body.redis_error, "Start Redis, or choose below to go on without it."),
    (body.warnings ?? []).map((words) => said("warn", words)),
    h("p", { class: "sums" }, sums(body.totals)),
    h("ul", { class: "plain" }, (body.categories ?? []).map(categoryLine)),
    more("Rows of other tables that go with them", body.following, ({ table, rows, of, refers_to: to }) => `${table}: ${count(rows)} of ${plural(of, "row")}, because they depend on ${list(to)}`),
    more("References that are cleared", body.references_cleared, ({ table, columns, rows, refers_to: to }) => `${table}: ${plural(rows, "row")} no longer refer to ${to} (${columns.join(", ")})`),
    more("Backups that stay because they are pinned", body.pinned_backups, (name) => name),
    body.reseed && h("p", { class: "muted" }, body.reseed.planned ? "Nova's migrations run again. " : "", body.reseed.why),
    body.possible && confirmation(wiped),
  );
}

const said = (level, words, hint) => h("div", { class: `notice is-${level}`, role: level === "bad" ? "alert" : null }, icon(level), h("div", null, h("p", null, words), hint && h("p", { class: "hint" }, hint)));

function sums({ rows, redis_keys: keys, files, file_bytes: bytes, backups, backup_bytes: ofBackups, exact } = {}) {
  const words = [plural(rows, "row"), plural(keys, "key of Redis", "keys of Redis"), `${plural(files, "file")} (${size(bytes)})`, backups > 0 && `${plural(backups, "backup")} (${size(ofBackups)})`];
  return [h("span", { class: "strong" }, words.filter(Boolean).join(" · ")), exact ? "" : h("span", { class: "muted" }, " Some of these are estimates.")];
}

function categoryLine({ key, label, tables = [], redis = [], directories = [], backups }) {
  const parts = [
    ...tables.filter(({ rows }) => rows > 0).map(({ table, rows }) => `${table} (${count(rows)})`),
    ...redis.filter(({ keys }) => keys > 0).map(({ database, keys }) => `Redis ${database} (${plural(keys, "key")})`),
    ...directories.map(({ path, files, problem, exists }) => (problem ? `${path}: ${problem}` : exists ? `${path} (${files === null ? "files" : plural(files, "file")})` : null)),
    backups?.count > 0 && plural(backups.count, "backup"),
  ].filter(Boolean);
  return h("li", { key: `goes-${key}` }, h("span", { class: "strong" }, label), ": ", h("span", { class: "muted" }, parts.length ? parts.join(", ") : "it is empty"));
}

function more(title, entries, words) {
  if (!entries?.length) return null;
  return h("div", { key: title }, h("h4", null, title), h("ul", null, entries.map((entry) => h("li", null, words(entry)))));
}

function confirmation(wiped) {
  return h(
    "form",
    { class: "row", on: { submit: run } },
    h("p", { class: "field" }, h("label", { for: "reset-word" }, "Type ", h("code", null, WORD), " to go on"), h("input", { id: "reset-word", type: "text", autocomplete: "off", spellcheck: "false" })),
    h("button", { type: "submit", class: "button danger", "aria-disabled": isBusy(PLACE) ? "true" : null }, `Reset ${plural(wiped.length, "category", "categories")}`),
  );
}

function run(event) {
  event.preventDefault();
  const input = document.getElementById("reset-word");
  if (input.value.trim() !== WORD) {
    fail(PLACE, { message: `Type ${WORD}, in capitals, to go on.` });
    input.focus();
    return;
  }
  act(PLACE, () => begin("POST", "factory-reset", { body: { keep: preview.keep, confirm: WORD, ...preview.chosen } }), {
    done: done,
    after: () => {
      preview = null;
      refresh();
    },
  });
}

function done(report) {
  const { stats = {}, safety_backup: safety, errors } = report ?? {};
  const words = [
    "The reset is done.",
    Number.isFinite(stats.rows_deleted) && `${plural(stats.rows_deleted, "row")} of ${plural(stats.tables_truncated, "table")},`,
    Number.isFinite(stats.redis_keys_deleted) && `${plural(stats.redis_keys_deleted, "key")} of Redis and ${plural(stats.filesystem_files_removed, "file")} are gone.`,
    safety && `What was there is in ${safety.filename}: restoring that brings all of it back.`,
    report?.reseed?.orchestrator && `The orchestrator: ${report.reseed.orchestrator}.`,
    errors?.length && `Not done: ${errors.map((error) => (typeof error === "string" ? error : error.detail)).join(" ")}`,
  ];
  return words.filter(Boolean).join(" ");
}
