// Puts the page together and keeps it up to date.

import { renderAudit } from "./audit.js";
import { backUp, renderBackups } from "./backups.js";
import { renderDiagnostics } from "./diagnostics.js";
import { loadEnvironment, renderEnvironment } from "./environment.js";
import { loadOpen, refresh, watch } from "./events.js";
import { loadInference, renderInference, watchGpus } from "./inference.js";
import { renderEnded, renderRunning } from "./operations.js";
import { renderBanner, renderConnection, renderFacts, renderVerdict } from "./overview.js";
import { loadCategories, renderReset } from "./reset.js";
import { renderReplaced } from "./restore.js";
import { renderSchedule } from "./schedule.js";
import { openLog, renderServices, restart } from "./services.js";
import { findSession, renderSessionButton, renderSignIn } from "./session.js";
import { changed, onChange, running, state, value } from "./store.js";

const at = (id) => document.getElementById(id);

const PARTS = [
  [renderConnection, "connection"],
  [renderSessionButton, "session"],
  [renderBanner, "banner"],
  [renderFacts, "facts"],
  [renderSignIn, "sign-in"],
  [renderRunning, "operations"],
  [renderServices, "services"],
  [renderBackups, "backup-list"],
  [renderReplaced, "replaced"],
  [renderSchedule, "schedule"],
  [renderInference, "inference"],
  [renderEnvironment, "environment"],
  [renderDiagnostics, "diagnostics"],
  [renderEnded, "ended"],
  [renderAudit, "audit"],
  [renderReset, "reset"],
];

/// Carries out what the verdict proposes.
function does({ does: what, target }) {
  if (what === "backup") return backUp();
  if (what === "restart") return restart(target);
  if (what === "logs") return openLog(target).then(() => show(`log-${target}`));
  return show(target);
}

function show(id) {
  const section = at(id);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  section?.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
  section?.focus({ preventScroll: true });
}

let wasSignedIn = null;
let stood = false;

function draw() {
  const now = Date.now();
  renderVerdict(at("verdict"), now, does);
  for (const [part, id] of PARTS) if (at(id)) part(at(id), now);
  if (!stood && value("status")) {
    stood = true;
    performance.mark("verdict");
  }
  at("history").hidden = state.signedIn !== true;
  for (const link of document.querySelectorAll("nav a")) {
    link.parentElement.hidden = at(link.hash.slice(1))?.hidden ?? true;
  }
  if (state.signedIn && !wasSignedIn) {
    loadEnvironment();
    loadInference();
    loadCategories();
  }
  wasSignedIn = state.signedIn;
}

/// Begins: draws what is known, asks for the rest, and goes on asking.
export async function begin() {
  onChange(draw);
  draw();
  // Ages grow by themselves: every second where one watches them grow, else now and then.
  let second = 0;
  setInterval(() => {
    second += 1;
    if (running().length > 0 || state.connected === false || second % 10 === 0) changed();
  }, 1000);
  await Promise.all([findSession(), loadOpen()]);
  watch();
  if (state.signedIn) refresh();
  watchGpus(at("inference"));
}
