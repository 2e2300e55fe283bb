// The variables of the `.env` that may be seen and changed.

import { ask } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { plural } from "./format.js";
import { act, isBusy, noticeOf, staleness } from "./notices.js";
import { changed, fact, onForget, state, value } from "./store.js";
import { takesEffect } from "./words.js";

const PLACE = "env";

/// What somebody has typed and not saved yet, by variable.
const edits = new Map();
/// Names the content of the file that the values were read from.
let tag = null;

/// Reads the variables.
export async function loadEnvironment() {
  const known = state.facts.get("env") ?? {};
  try {
    const { body, headers } = await ask("GET", "env");
    tag = headers.get("etag");
    state.facts.set("env", { value: body, at: Date.now() });
  } catch (problem) {
    state.facts.set("env", problem.status === 404 ? { missing: true } : { ...known, problem });
  }
  changed();
}

export function renderEnvironment(root, now) {
  root.hidden = !state.signedIn;
  if (root.hidden) {
    render(root);
    return;
  }
  const own = fact("env");
  render(
    root,
    h("h2", null, "Environment"),
    h("p", { class: "muted" }, "The variables of the .env that may be changed here. Secrets are masked; a mask left as it is changes nothing."),
    staleness(own, now),
    own.value && form(own.value),
    noticeOf(PLACE),
    conflict(),
  );
}

function form(values) {
  const names = [...new Set([...Object.keys(values), ...edits.keys()])].sort();
  const count = edits.size;
  return h(
    "form",
    {
      class: "variables",
      on: {
        submit: (event) => {
          event.preventDefault();
          save();
        },
      },
    },
    names.length === 0 && h("p", { class: "empty" }, "None of the variables that may be changed here stands in the file."),
    names.map((key) => variable(key, values[key])),
    adding(),
    h(
      "div",
      { class: "actions wrap" },
      h("button", { type: "submit", class: "button primary", "aria-disabled": count === 0 || isBusy(PLACE) ? "true" : null }, count ? `Save ${plural(count, "change")}` : "Nothing to save"),
      count > 0 && button("Discard", discard, { kind: "quiet" }),
    ),
  );
}

function variable(key, current) {
  const id = `env-${key}`;
  const edited = edits.has(key);
  const input = h("input", {
    id,
    type: "text",
    value: current ?? "",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": `${id}-about`,
    on: {
      input: ({ target }) => {
        if (target.value === (values()[key] ?? "") && key in values()) edits.delete(key);
        else edits.set(key, target.value);
        changed();
      },
    },
  });
  return h(
    "div",
    { class: `variable ${edited ? "is-edited" : ""}`, key: `variable-${key}` },
    h("label", { for: id }, h("code", null, key)),
    input,
    h("p", { class: "muted small", id: `${id}-about` }, edited && h("strong", null, "Changed. "), takesEffect(key)),
  );
}

const values = () => value("env") ?? {};

function adding() {
  return h(
    "p",
    { class: "field inline", key: "adding" },
    h("label", { for: "env-new" }, "Another variable"),
    h("input", {
      id: "env-new",
      type: "text",
      placeholder: "LOG_LEVEL",
      autocomplete: "off",
      spellcheck: "false",
      on: {
        change: ({ target }) => {
          const key = target.value.trim();
          if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) return;
          target.value = "";
          if (!(key in values()) && !edits.has(key)) edits.set(key, "");
          changed();
          requestAnimationFrame(() => document.getElementById(`env-${key}`)?.focus());
        },
      },
    }),
  );
}

/// After a change of the file by somebody else: what stands there now beside what was typed.
let clashed = false;
onForget(() => {
  edits.clear();
  clashed = false;
});

function conflict() {
  if (!clashed) return null;
  const rows = [...edits].filter(([key]) => key in values());
  return h(
    "div",
    { class: "notice is-warn", role: "status", key: "conflict" },
    icon("warn"),
    h(
      "div",
      null,
      h("p", { class: "strong" }, "The file was changed meanwhile. It was read again; what you typed is kept and not saved."),
      h("ul", null, rows.map(([key, typed]) => h("li", null, h("code", null, key), `: stands as “${values()[key]}”, you typed “${typed}”`))),
      h("p", { class: "hint" }, "Look it through, then save again or discard."),
    ),
  );
}

async function save() {
  if (edits.size === 0) return;
  const updates = Object.fromEntries(edits);
  const headers = tag ? { "If-Match": tag } : {};
  await act(
    PLACE,
    async () => {
      try {
        const answer = await ask("PATCH", "env", { body: { updates }, headers });
        clashed = false;
        edits.clear();
        return answer;
      } catch (error) {
        if (error.status === 412) {
          clashed = true;
          await loadEnvironment();
        }
        throw error;
      }
    },
    {
      done: () => `Saved: ${Object.keys(updates).join(", ")}. ${Object.keys(updates).map(takesEffect).filter((text, index, all) => all.indexOf(text) === index).join(" ")}`,
      after: async () => {
        await loadEnvironment();
        showValues();
      },
    },
  );
}

function discard() {
  edits.clear();
  clashed = false;
  showValues();
}

/// Puts what stands in the file into the inputs: drawing leaves alone what somebody types.
function showValues() {
  for (const [key, text] of Object.entries(values())) {
    const input = document.getElementById(`env-${key}`);
    if (input && !edits.has(key)) input.value = text;
  }
  changed();
}
