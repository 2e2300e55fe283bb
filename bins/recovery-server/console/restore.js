// Restoring: the plan first, then the database's name typed; and taking a restore back.

import { begin, get, part, Problem } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { confirm } from "./dialog.js";
import { clock, count, plural, relative, size } from "./format.js";
import { act, isBusy, noticeOf, staleness } from "./notices.js";
import { fact, load, state, value } from "./store.js";
import { proofOf } from "./words.js";

const reload = () => Promise.all([load("restores", "restores"), load("status", "status"), load("backups", "backups")]);

/// Shows what a restore of this backup will do, and does it once that was confirmed.
export async function restore(backup) {
  const { filename } = backup;
  const live = value("status")?.database;
  const name = live?.name ?? backup.database ?? "nova";
  const yes = await confirm({
    title: "Restore this backup?",
    body: (ready) => plan(backup, live, name, ready),
    typed: { what: "the name of the database", text: name },
    action: "Restore",
    danger: true,
  });
  if (!yes) return;
  await act(`restore-${filename}`, () => begin("POST", `backups/${part(filename)}/restore`), { done: restored, after: reload });
}

function restored(report) {
  if (!report) return "Restored.";
  const { tables, rows, replaced_database: kept, kept_until: until, safety_backup: safety, warnings = [] } = report;
  const back = kept
    ? `The database that was there is kept as ${kept} until ${clock(until)}, and a rollback brings it back.`
    : safety
      ? `What was there is in ${safety}.`
      : "There was no database before.";
  return [`Restored: ${plural(tables ?? 0, "table")}, ${plural(rows ?? 0, "row")}, all compared.`, back, ...warnings].join(" ");
}

/// The plan: what comes, what goes, and where what goes is kept.
function plan(backup, live, name, ready) {
  const now = Date.now();
  const room = h("div", { class: "plan-facts" }, h("p", { class: "muted" }, "Reading what the backup holds …"));
  get(`backups/${part(backup.filename)}`).then(
    (manifest) => {
      render(room, contents(manifest));
      ready(true);
    },
    (error) => {
      const problem = Problem.of(error);
      render(room, h("div", { class: "notice is-warn", role: "alert" }, icon("warn"), h("div", null, h("p", null, problem.detail), problem.hint && h("p", { class: "hint" }, problem.hint))));
      // An archive of the earlier service has no manifest; the service looks at everything again before it touches anything.
      ready(backup.kind === "legacy");
    },
  );
  const [level, proof] = proofOf(backup, now);
  return [
    h(
      "dl",
      { class: "details" },
      h("dt", null, "Comes"),
      h("dd", null, h("code", null, backup.filename), h("br"), `${clock(backup.created_at, now)}, ${relative(backup.created_at, now)}`, h("br"), h("span", { class: `state is-${level}` }, icon(level), proof)),
      h("dt", null, "Goes"),
      h("dd", null, live?.connected ? `The live database ${name}: ${live.size}, ${plural(live.table_count, "table")}. Everything written since ${clock(backup.created_at, now)} is not in the backup.` : `The database ${name}, which does not answer now.`),
    ),
    room,
    h(
      "ol",
      { class: "steps" },
      h("li", null, "The backup is read and hashed; nothing is touched if it is damaged."),
      h("li", null, `It is loaded beside ${name}, and every row count is compared. Until then the live database serves.`),
      h("li", null, "Both change names in one transaction. Nova's connections are ended for a moment."),
      h("li", null, "The database that was there is kept, and a rollback brings it back within a second."),
    ),
    backup.warnings?.length > 0 && h("ul", { class: "warnings" }, backup.warnings.map((word) => h("li", null, word))),
  ];
}

function contents(manifest) {
  const tables = Object.entries(manifest?.rows?.tables ?? {}).map(([name, own]) => [name.replace(/^public\./, ""), own]);
  const rows = tables.reduce((sum, [, own]) => sum + own, 0);
  const largest = [...tables].sort((a, b) => b[1] - a[1]).slice(0, 4);
  return h(
    "dl",
    { class: "details" },
    h("dt", null, "Holds"),
    h("dd", null, `${plural(tables.length, "table")}, ${plural(rows, "row")}, ${size(manifest?.database_size_bytes)} on its server`),
    largest.length > 0 && [h("dt", null, "Largest"), h("dd", null, largest.map(([table, own]) => `${table} (${plural(own, "row")})`).join(", "))],
    manifest?.schema_version && [h("dt", null, "Schema"), h("dd", null, String(manifest.schema_version))],
    manifest?.files?.length > 0 && [h("dt", null, "Directories"), h("dd", null, manifest.files.map((own) => own.name).join(", "))],
  );
}

/// The databases that restores replaced.
export function renderReplaced(root, now) {
  const own = fact("restores");
  const list = own.value ?? [];
  root.hidden = !state.signedIn || (list.length === 0 && !own.problem);
  render(
    root,
    h("h3", null, "Can be taken back", h("span", { class: "about" }, "Databases that a restore or rollback replaced.")),
    staleness(own, now),
    h("ul", { class: "rows" }, list.map((replaced) => row(replaced, now))),
  );
}

function row(replaced, now) {
  const { id, filename, restored_at: at, replaced_database: database, kept_until: until } = replaced;
  const place = `replaced-${id}`;
  const busy = isBusy(place);
  return h(
    "li",
    { key: id, class: "item" },
    h(
      "div",
      { class: "line-up replaced" },
      h("div", { class: "name" }, h("code", null, database)),
      h("span", null, filename ? `Replaced ${relative(at, now)} by ${filename}` : `Replaced ${relative(at, now)} by a rollback`),
      h("span", { class: "muted" }, `Kept until ${clock(until, now)}`),
      h(
        "div",
        { class: "actions" },
        button("Drop …", () => drop(replaced, place), { kind: "quiet", busy, describe: database }),
        button("Roll back …", () => rollback(replaced, place), { busy, describe: database }),
      ),
    ),
    noticeOf(place),
  );
}

async function rollback(replaced, place) {
  const name = value("status")?.database?.name ?? "nova";
  const yes = await confirm({
    title: "Roll back?",
    body: [
      h("p", null, `The database as it was before ${clock(replaced.restored_at)} becomes ${name} again, within a second. What was written since then is in the database that it replaces, and that is kept: this can itself be rolled back.`),
      h("p", null, "Nova's connections are ended for a moment."),
    ],
    typed: { what: "the name of the database", text: name },
    action: "Roll back",
    danger: true,
  });
  if (!yes) return;
  await act(place, () => begin("POST", `restores/${part(replaced.id)}/rollback`), {
    done: () => `Rolled back: ${name} is as it was before.`,
    after: reload,
  });
}

async function drop(replaced, place) {
  const { id, replaced_database: database } = replaced;
  const yes = await confirm({
    title: "Drop the replaced database?",
    body: h("p", null, h("code", null, database), " is removed for good, and the restore can no longer be taken back. Backups stay."),
    typed: { what: "its name", text: database },
    action: "Drop it",
    danger: true,
  });
  if (!yes) return;
  await act(place, () => begin("DELETE", `restores/${part(id)}`), { after: reload });
}
