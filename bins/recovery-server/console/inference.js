// Inference: what the machine can do, what runs, and which models fit.

import { ask, get, part } from "./api.js";
import { button, h, icon, render } from "./dom.js";
import { confirm } from "./dialog.js";
import { chart } from "./charts.js";
import { count, plural, relative } from "./format.js";
import { act, isBusy, noticeOf, staleness } from "./notices.js";
import { changed, fact, load, state } from "./store.js";
import { sentence } from "./words.js";

/// How many samples a chart shows, and how often one is taken, in ms.
const SAMPLES = 60;
const EVERY = 2000;
const STATES = {
  ready: ["ok", "Ready"],
  stopped: ["off", "Stopped"],
  draining: ["busy", "Finishing running requests"],
  starting: ["busy", "Starting"],
  switching: ["busy", "Switching"],
  error: ["bad", "Failed"],
};
const BACKENDS = ["ollama", "vllm", "sglang"];

const samples = [];
let models = null;

/// Asks for what there is; what the service does not offer stays away from the page.
export async function loadInference() {
  await Promise.all([
    load("hardware", "inference/hardware"),
    load("recommendation", "inference/recommendation"),
    load("backend", "inference/backend"),
    load("backends", "inference/backends"),
  ]);
  if (fact("recommended").value === undefined && !fact("recommended").missing) await load("recommended", "inference/models/recommended");
}

/// Takes a sample of the GPUs as long as somebody looks.
export function watchGpus(root) {
  let visible = false;
  new IntersectionObserver((entries) => {
    visible = entries[entries.length - 1].isIntersecting;
  }).observe(root);
  setInterval(async () => {
    const away = fact("gpu").missing || !fact("hardware").value;
    if (!visible || document.hidden || !state.signedIn || away) return;
    await load("gpu", "inference/hardware/gpu-stats");
    samples.push(fact("gpu").problem ? null : fact("gpu").value);
    if (samples.length > SAMPLES) samples.shift();
  }, EVERY);
}

export function renderInference(root, now) {
  const [hardware, backend] = [fact("hardware"), fact("backend")];
  root.hidden = !state.signedIn || (!hardware.value && !backend.value && !hardware.problem);
  if (root.hidden) {
    render(root);
    return;
  }
  render(
    root,
    h("h2", null, "Inference"),
    staleness(hardware, now),
    h("div", { class: "columns" }, hardware.value && machine(hardware.value, now), backend.value ? running(backend.value) : advice()),
    backend.value && advice(),
    charts(),
    search(hardware.value),
  );
}

function machine(own, now) {
  const detect = () => act("detect", () => ask("POST", "inference/hardware/detect"), { after: (found) => state.facts.set("hardware", { value: found, at: Date.now() }), done: () => "Looked again." });
  return h(
    "section",
    { class: "card", key: "machine" },
    h("div", { class: "head" }, h("h3", null, "This machine"), button("Look again", detect, { kind: "quiet", busy: isBusy("detect"), describe: "hardware" })),
    h(
      "dl",
      { class: "details" },
      h("dt", null, "GPU"),
      h("dd", null, own.gpus?.length ? own.gpus.map((gpu) => h("span", { class: "line" }, `${gpu.model}${Number.isFinite(gpu.vram_gb) ? `, ${gpu.vram_gb} GB` : ""}`)) : "none found"),
      h("dt", null, "Containers"),
      h("dd", null, own.docker_gpu_runtime && own.docker_gpu_runtime !== "none" ? `can use it (${own.docker_gpu_runtime})` : "cannot use a GPU"),
      h("dt", null, "Processor"),
      h("dd", null, plural(own.cpu_cores, "core")),
      h("dt", null, "Memory"),
      h("dd", null, `${own.ram_gb ?? "unknown"} GB`),
      h("dt", null, "Disk"),
      h("dd", null, `${own.disk_free_gb ?? "unknown"} GB free`),
      own.notes?.length > 0 && [h("dt", null, "To know"), h("dd", null, own.notes.map((words) => h("span", { class: "line" }, words)))],
      own.detected_at && [h("dt", null, "Found out"), h("dd", null, relative(own.detected_at, now))],
    ),
    noticeOf("detect"),
  );
}

function advice() {
  const { value } = fact("recommendation");
  if (!value) return null;
  return h(
    "section",
    { class: "card", key: "advice" },
    h("h3", null, "Suited to this machine"),
    h("p", null, h("span", { class: "strong" }, value.backend ?? "none"), value.model && [" with ", h("code", null, value.model)]),
    value.reason && h("p", { class: "muted" }, value.reason),
  );
}

function running({ backend, state: now, active_model: model, switch_progress: progress, error, hint }) {
  const [level, words] = STATES[now] ?? ["unknown", sentence(now)];
  const changing = level === "busy";
  const names = fact("backends").value?.map(({ name }) => name) ?? BACKENDS;
  const others = names.filter((name) => name !== backend || now === "stopped" || now === "error");
  const start = (name) => act("backend", () => ask("POST", `inference/backend/${part(name)}/start`), { after: () => load("backend", "inference/backend") });
  const stop = () => act("backend", () => ask("POST", "inference/backend/stop"), { after: () => load("backend", "inference/backend") });
  return h(
    "section",
    { class: "card", key: "backend" },
    h("h3", null, "Backend"),
    staleness(fact("backend"), Date.now()),
    h("p", { class: `state is-${level}` }, icon(level), backend === "none" ? "None runs" : `${backend}: ${words}`),
    model && h("p", null, "Serves ", h("code", null, model)),
    progress && h("p", { role: "status" }, h("span", { class: "strong" }, sentence(progress.step)), progress.detail && `: ${progress.detail}`),
    error && h("div", { class: "notice is-bad", role: "alert" }, icon("bad"), h("div", null, h("p", null, error), hint && h("p", { class: "hint" }, hint))),
    noticeOf("backend"),
    h(
      "div",
      { class: "actions wrap" },
      others.map((name) => button(`Start ${name}`, () => start(name), { busy: isBusy("backend"), disabled: changing })),
      now === "ready" && button("Start anew", () => start(backend), { busy: isBusy("backend"), describe: backend }),
      now === "ready" && button("Stop", stop, { busy: isBusy("backend"), describe: backend }),
    ),
  );
}

function charts() {
  const { value } = fact("gpu");
  if (!value) return null;
  const of = (name) => samples.map((sample) => sample?.[name] ?? null);
  const whole = (number, unit) => (Number.isFinite(number) ? `${Math.round(number)} ${unit}` : "not told");
  return h(
    "div",
    { class: "charts", key: "charts" },
    chart("GPU at work", of("gpu_utilization_pct"), 100, whole(value.gpu_utilization_pct, "%")),
    chart("GPU memory", of("vram_used_gb"), value.vram_total_gb, Number.isFinite(value.vram_used_gb) ? `${value.vram_used_gb} of ${value.vram_total_gb} GB` : "not told"),
    chart("Temperature", of("temperature_c"), 100, whole(value.temperature_c, "°C")),
    Number.isFinite(value.power_draw_w) && chart("Power", of("power_draw_w"), null, whole(value.power_draw_w, "W")),
  );
}

/// Whether a model fits into this much memory: level and words. Four fifths leave room for a long context.
export function fit(model, { gpu, ram }) {
  const needsNone = model.min_vram_gb === 0;
  const [need, memory] = needsNone ? [model.min_ram_gb ?? 0, ram] : [model.vram_estimate_gb ?? model.min_vram_gb, gpu];
  const told = { fits: "ok", fits_with_shorter_context: "warn", does_not_fit: "bad" };
  if (told[model.fit]) return [told[model.fit], sentence(model.fit)];
  if (!Number.isFinite(need) || memory === null) return ["unknown", "Nobody can tell whether it fits"];
  if (!needsNone && memory === 0) return ["bad", "Needs a GPU"];
  if (need <= memory * 0.8) return ["ok", "Fits"];
  if (need <= memory) return ["warn", "Fits with shorter context"];
  return ["bad", "Does not fit"];
}

function search(hardware) {
  const { value: recommended, missing } = fact("recommended");
  if (missing || (!recommended && !models)) return null;
  const gpus = (hardware?.gpus ?? []).map(({ vram_gb: own }) => own);
  const memory = { gpu: gpus.includes(null) ? null : Math.max(0, ...gpus), ram: hardware?.ram_gb ?? null };
  const list = models ?? recommended;
  const find = async (event) => {
    event.preventDefault();
    const [query, backend] = [document.getElementById("model-query").value.trim(), document.getElementById("model-backend").value];
    if (!query) {
      models = null;
      changed();
      return;
    }
    await act("models", async () => {
      models = await get(`inference/models/search?q=${part(query)}&backend=${part(backend)}`);
      return null;
    });
  };
  return h(
    "section",
    { class: "group", key: "models" },
    h("h3", null, "Models", h("span", { class: "about" }, models ? `${plural(models.length, "model")} found` : "Known to be good")),
    h(
      "form",
      { class: "row", on: { submit: find } },
      h("p", { class: "field grow" }, h("label", { for: "model-query" }, "Search"), h("input", { id: "model-query", type: "search", autocomplete: "off" })),
      h("p", { class: "field" }, h("label", { for: "model-backend" }, "For"), h("select", { id: "model-backend" }, BACKENDS.map((name) => h("option", { value: name }, name)))),
      h("button", { type: "submit", class: "button", "aria-disabled": isBusy("models") ? "true" : null }, isBusy("models") ? "Searching …" : "Search"),
    ),
    noticeOf("models"),
    h("ul", { class: "rows" }, list.slice(0, 20).map((model) => modelRow(model, memory))),
  );
}

function modelRow(model, memory) {
  const [level, words] = fit(model, memory);
  const need = model.vram_estimate_gb ?? (model.min_vram_gb || model.min_ram_gb);
  const place = `model-${model.id}`;
  const own = fact("backend").value;
  const ollama = own?.backend === "ollama" && own.state === "ready" && (model.ollama_id ?? (model.id.includes("/") ? null : model.id));
  const served = ["vllm", "sglang"].includes(own?.backend) && own.state === "ready" && (model.backends ?? [own.backend]).includes(own.backend);
  const change = async () => {
    const yes = await confirm({ title: "Switch the model?", body: h("p", null, h("code", null, model.id), ` takes the place of ${own.active_model ?? "the present one"} once it has loaded.`), action: "Switch" });
    if (yes) await act(place, () => ask("POST", `inference/backend/${part(own.backend)}/switch-model`, { body: { model: model.id } }), { done: () => "The switch has begun." });
  };
  const pull = () => act(place, () => ask("POST", "inference/models/pull", { body: { model: ollama } }), { done: () => `${ollama} is there.` });
  return h(
    "li",
    { key: place, class: "item" },
    h(
      "div",
      { class: "line-up model" },
      h("div", { class: "name" }, h("span", { class: "strong" }, model.name ?? model.id), model.name && h("code", null, model.id), model.quantized && h("span", { class: "tag" }, "quantized")),
      h("span", { class: `state is-${level}` }, icon(level), words),
      h("span", { class: "muted" }, Number.isFinite(need) ? `about ${need} GB${model.min_vram_gb === 0 ? " of memory" : ""}` : "", Number.isFinite(model.downloads) ? ` ${count(model.downloads)} downloads` : ""),
      h("div", { class: "actions" }, ollama && button("Pull", pull, { busy: isBusy(place), describe: model.id }), served && button("Use …", change, { busy: isBusy(place), describe: model.id })),
    ),
    model.description && h("p", { class: "muted small" }, model.description),
    noticeOf(place),
  );
}
