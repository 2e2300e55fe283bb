// Asks before something that cannot be taken back, or that others feel. The browser's own dialog keeps the focus in it,
// ends with Escape, and gives the focus back to where it was.

import { button, h } from "./dom.js";

let number = 0;

/// Shows a dialog; the promise says whether it was confirmed. `typed` must be typed first, to the letter. Its body may
/// grow while it is open: `body(setReady)` returns nodes, and nothing can be confirmed until `setReady(true)`.
export function confirm({ title, body, typed, action, danger = false }) {
  number += 1;
  const [titleId, inputId] = [`dialog-${number}`, `dialog-input-${number}`];
  return new Promise((resolve) => {
    let ready = typeof body !== "function";
    const matches = () => ready && (!typed || input.value.trim() === typed.text);
    const accept = () => matches() && finish(true);
    const refresh = () => {
      if (matches()) go.removeAttribute("aria-disabled");
      else go.setAttribute("aria-disabled", "true");
    };
    const confirmed = (event) => {
      if (event.key !== "Enter") return;
      // Else the same key would press the button that gets the focus back, too.
      event.preventDefault();
      accept();
    };
    const on = { input: refresh, keydown: confirmed };
    const input = typed && h("input", { id: inputId, type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off", on });
    const go = button(action, accept, { kind: danger ? "danger" : "primary" });
    const setReady = (is) => {
      ready = is;
      refresh();
    };
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": titleId, on: { close: () => finish(false) } },
      h("h2", { id: titleId }, title),
      h("div", { class: "dialog-body" }, typeof body === "function" ? body(setReady) : body),
      typed &&
        h("p", { class: "field" }, h("label", { for: inputId }, `Type ${typed.what} to confirm: `, h("code", null, typed.text)), input),
      h("div", { class: "actions" }, button("Cancel", () => finish(false)), go),
    );
    let over = false;
    function finish(answer) {
      if (over) return;
      over = true;
      dialog.close();
      dialog.remove();
      resolve(answer);
    }
    document.body.append(dialog);
    refresh();
    dialog.showModal();
    // The first thing to do is to read; where something is to be typed, that.
    (input ?? dialog.querySelector("button")).focus();
  });
}
