// Factory reset: what to keep, what would go in real numbers, and only then the reset itself.

import { ask, begin } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { count, plural, size } from "./format.js";
import { act, fail, isBusy, noticeOf, staleness } from "./notices.js";
import { changed, fact, load, state } from "./store.js";
import { sentence } from "./words.js";
import { refresh } from "./events.js";

const PLACE = "reset";
const WORD = "RESET";

/// The keys of the categories that are kept; `null` until the list is there.
let keep = null;
/// What the preview of exactly these said: `{ keep, body }`.
let preview = null;

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
  return act(PLACE, () => ask("POST", "factory-reset/preview", { body: { keep: kept } }), {
    after: (body) => {
      preview = { keep: kept, body };
      requestAnimationFrame(() => document.getElementById("preview-title")?.focus());
    },
  });
}

function shown(wiped) {
  return h(
    "section",
    { class: "card", key: "preview" },
    h("h3", { id: "preview-title", tabindex: "-1" }, "What would go"),
    tree(preview.body),
    h(
      "form",
      { class: "row", on: { submit: run } },
      h("p", { class: "field" }, h("label", { for: "reset-word" }, "Type ", h("code", null, WORD), " to go on"), h("input", { id: "reset-word", type: "text", autocomplete: "off", spellcheck: "false" })),
      h("button", { type: "submit", class: "button danger", "aria-disabled": isBusy(PLACE) ? "true" : null }, `Reset ${plural(wiped.length, "category", "categories")}`),
    ),
  );
}

/// An answer as nested lists: names become words, numbers get their units.
function tree(value, name = "") {
  if (value === null || value === undefined) return "none";
  if (typeof value === "number") return /bytes/.test(name) ? size(value) : count(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) {
    if (value.length === 0) return "none";
    return h("ul", null, value.map((own) => h("li", null, tree(own, name))));
  }
  const entries = Object.entries(value).filter(([, own]) => !(Array.isArray(own) && own.length === 0));
  return h("dl", { class: "details" }, entries.map(([key, own]) => [h("dt", null, sentence(key)), h("dd", null, tree(own, key))]));
}

function run(event) {
  event.preventDefault();
  const input = document.getElementById("reset-word");
  if (input.value.trim() !== WORD) {
    fail(PLACE, { message: `Type ${WORD}, in capitals, to go on.` });
    input.focus();
    return;
  }
  act(PLACE, () => begin("POST", "factory-reset", { body: { keep: preview.keep, confirm: WORD } }), {
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
    Number.isFinite(stats.tables_truncated) && `${plural(stats.tables_truncated, "table")} emptied.`,
    Number.isFinite(stats.redis_keys_deleted) && `${plural(stats.redis_keys_deleted, "key")} of Redis deleted.`,
    safety && `What was there is in ${safety.filename}.`,
    errors?.length && `Not done: ${errors.map((error) => (typeof error === "string" ? error : error.detail)).join(" ")}`,
  ];
  return words.filter(Boolean).join(" ");
}
