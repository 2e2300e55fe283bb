// Signing in and out. The session itself is a cookie that no script can read; whether there is one, the service says.

import { ask } from "./api.js";
import { button, h, render } from "./dom.js";
import { act, fail, isBusy, noticeOf, tell } from "./notices.js";
import { changed, forget, state } from "./store.js";
import { refresh, restartStream } from "./events.js";

const PLACE = "session";

/// Finds out whether there is a session.
export async function findSession() {
  try {
    await ask("GET", "operations", { quiet: true });
    state.signedIn = true;
  } catch (error) {
    if (error.status === 401 || error.status === 421 || error.status === 403) state.signedIn = false;
  }
  changed();
}

async function signIn(input) {
  const secret = input.value;
  if (!secret) {
    input.focus();
    return;
  }
  await act(PLACE, () => ask("POST", "session", { body: { secret }, quiet: true }), {
    after: () => {
      input.value = "";
      state.signedIn = true;
      state.signInReason = null;
      restartStream();
      tell("page", "You are signed in.");
      // The form is gone with this; go on reading where it stood.
      requestAnimationFrame(() => document.getElementById("verdict").focus());
    },
  });
  if (!state.signedIn) {
    input.select();
    input.focus();
  } else {
    refresh();
  }
}

async function signOut() {
  try {
    await ask("DELETE", "session");
    state.signedIn = false;
    state.signInReason = null;
    restartStream();
    forget();
    tell("page", "You are signed out.");
    requestAnimationFrame(() => document.getElementById("secret")?.focus());
    refresh();
  } catch (error) {
    fail("page", error);
  }
}

/// The form, while nobody is signed in.
export function renderSignIn(root) {
  root.hidden = state.signedIn !== false;
  if (root.hidden) {
    render(root);
    return;
  }
  render(
    root,
    h("h2", { id: "sign-in-title" }, "Sign in to act"),
    h(
      "p",
      { class: "muted" },
      state.signInReason ?? "What you see is open to everybody in this network. To change something, sign in.",
    ),
    h(
      "form",
      {
        class: "row",
        on: {
          submit: (event) => {
            event.preventDefault();
            signIn(document.getElementById("secret"));
          },
        },
      },
      h(
        "p",
        { class: "field" },
        h("input", { type: "text", autocomplete: "username", value: "admin", hidden: true, tabindex: "-1" }),
        h("label", { for: "secret" }, "Admin secret"),
        h("input", { id: "secret", type: "password", autocomplete: "current-password", "aria-describedby": "secret-hint" }),
      ),
      h("button", { type: "submit", class: "button primary", "aria-disabled": isBusy(PLACE) ? "true" : null }, "Sign in"),
    ),
    h("p", { class: "muted small", id: "secret-hint" }, "ADMIN_SECRET in the .env, or the file admin-secret in the state directory."),
    noticeOf(PLACE),
  );
}

/// The button in the head of the page.
export function renderSessionButton(root) {
  render(
    root,
    state.signedIn === true && button("Sign out", signOut, { kind: "quiet" }),
    state.signedIn === false &&
      h("a", { class: "button quiet", href: "#sign-in" }, "Sign in"),
  );
}
