// Who did what.

import { h, icon, render } from "./dom.js";
import { clock } from "./format.js";
import { staleness } from "./notices.js";
import { fact, state } from "./store.js";
import { OUTCOMES, sentence } from "./words.js";

export function renderAudit(root, now) {
  root.hidden = !state.signedIn;
  if (root.hidden) {
    render(root);
    return;
  }
  const own = fact("audit");
  const entries = own.value ?? [];
  render(
    root,
    h("h2", null, "Audit log", h("span", { class: "about" }, "The newest 50 entries.")),
    staleness(own, now),
    entries.length === 0
      ? h("p", { class: "empty" }, "Nothing was done yet.")
      : h(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "Audit log" },
          h(
            "table",
            null,
            h("thead", null, h("tr", null, ["When", "What", "To what", "Outcome", "Who"].map((title) => h("th", { scope: "col" }, title)))),
            h("tbody", null, entries.map((entry) => row(entry, now))),
          ),
        ),
  );
}

function row({ at, actor, action, target, outcome }, now) {
  const [level, words] = OUTCOMES[outcome] ?? ["unknown", outcome];
  return h(
    "tr",
    null,
    h("td", { class: "time" }, clock(at, now)),
    h("td", null, sentence(action)),
    h("td", { class: "break" }, target ?? ""),
    h("td", null, h("span", { class: `state is-${level}` }, icon(level), words)),
    h("td", { class: "muted" }, actor),
  );
}
