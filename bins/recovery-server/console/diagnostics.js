// Looking for what is wrong: everything that looks like an error, and somebody to ask.

import { ask, get } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { clock, plural } from "./format.js";
import { act, isBusy, noticeOf } from "./notices.js";
import { changed, fact, onForget, state } from "./store.js";

/// How much of the talk is sent along.
const TURNS = 20;

const talk = [];
onForget(() => talk.splice(0));

export function renderDiagnostics(root, now) {
  root.hidden = !state.signedIn;
  if (root.hidden) {
    render(root);
    return;
  }
  const { value, at } = fact("diagnostics");
  const look = () =>
    act("diagnostics", async () => {
      const body = await get("diagnostics");
      state.facts.set("diagnostics", { value: body, at: Date.now() });
      return null;
    });
  render(
    root,
    h(
      "div",
      { class: "head" },
      h("h2", null, "Diagnostics", at && h("span", { class: "about" }, `as of ${clock(at, now)}`)),
      button(value ? "Look again" : "Look for errors", look, { busy: isBusy("diagnostics") }),
    ),
    noticeOf("diagnostics"),
    value && found(value),
    chat(),
  );
}

function found({ error_patterns: errors, unavailable, service_logs: logs }) {
  const names = Object.keys(logs ?? {}).filter((name) => logs[name]);
  return h(
    "div",
    { class: "drawer", key: "found" },
    unavailable?.length > 0 && h("ul", { class: "warnings" }, unavailable.map((word) => h("li", null, word))),
    h("p", { class: `state is-${errors.length ? "warn" : "ok"}` }, icon(errors.length ? "warn" : "ok"), errors.length ? `${plural(errors.length, "line")} in the logs look like errors` : "No line in the logs looks like an error"),
    errors.length > 0 && h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": "Lines that look like errors" }, errors.join("\n")),
    names.map((name) =>
      h("details", { key: `logs-${name}` }, h("summary", null, `The last lines of ${name}`), h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": `Last lines of ${name}` }, logs[name])),
    ),
  );
}

function chat() {
  const send = async (event) => {
    event.preventDefault();
    const input = document.getElementById("question");
    const message = input.value.trim();
    if (!message || isBusy("chat")) return;
    const history = talk.slice(-TURNS).map(({ role, content }) => ({ role, content }));
    talk.push({ role: "user", content: message });
    input.value = "";
    await act("chat", async () => {
      try {
        const { body } = await ask("POST", "troubleshoot/chat", { body: { message, history }, signal: AbortSignal.timeout(180_000) });
        talk.push({ role: "assistant", content: body.response, provider: body.provider });
      } catch (error) {
        talk.pop();
        input.value = message;
        throw error;
      }
      return null;
    });
    changed();
  };
  return h(
    "section",
    { class: "group", key: "chat" },
    h("h3", null, "Ask for advice", h("span", { class: "about" }, "The local model first, then a provider that is configured. It is told how things stand, without secrets.")),
    h(
      "div",
      { class: "talk", role: "log", "aria-label": "Advice" },
      talk.map((turn, index) =>
        h("div", { class: `turn is-${turn.role}`, key: `turn-${index}` }, h("p", { class: "who" }, turn.role === "user" ? "You" : (turn.provider ?? "Nobody could be asked")), h("p", { class: "said" }, turn.content)),
      ),
      isBusy("chat") && h("p", { class: "muted", key: "thinking" }, "Thinking …"),
    ),
    noticeOf("chat"),
    h(
      "form",
      { class: "row", on: { submit: send } },
      h("p", { class: "field grow" }, h("label", { for: "question" }, "Your question"), h("input", { id: "question", type: "text", autocomplete: "off", placeholder: "Why does chat-api keep restarting?" })),
      h("button", { type: "submit", class: "button", "aria-disabled": isBusy("chat") ? "true" : null }, "Ask"),
    ),
  );
}
