// The service's words in those of people.

import { list, relative } from "./format.js";

const KINDS = {
  backup: "Backup",
  verify: "Check of a backup",
  drill: "Restore drill",
  restore: "Restore",
  rollback: "Rollback",
  drop_replaced: "Removal of a replaced database",
  upload: "Upload",
  delete_backup: "Deletion of a backup",
  clean_up: "Clean-up after an interruption",
  restart_service: "Restart of a service",
  restart_services: "Restart of all services",
  start_profile: "Start of a profile",
  stop_profile: "Stop of a profile",
  factory_reset: "Factory reset",
  start_backend: "Start of the inference backend",
  stop_backend: "Stop of the inference backend",
  switch_backend: "Switch of the inference backend",
  switch_model: "Switch of the model",
  pull_model: "Download of a model",
};

/// `drop_replaced` as a headline.
export const kindOf = (kind) => KINDS[kind] ?? sentence(kind ?? "operation");

/// A word of the program as the beginning of a sentence.
export function sentence(word) {
  const text = String(word).replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const STATES = {
  running: ["busy", "running"],
  succeeded: ["ok", "succeeded"],
  failed: ["bad", "failed"],
  cancelled: ["off", "cancelled"],
  interrupted: ["warn", "interrupted by the end of the service"],
};

export const OUTCOMES = {
  accepted: ["busy", "begun"],
  succeeded: ["ok", "done"],
  refused: ["warn", "refused"],
  failed: ["bad", "failed"],
};

const BACKUP_KINDS = {
  manual: "Manual",
  checkpoint: "Automatic",
  safety: "Safety",
  legacy: "Earlier format",
};

export const backupKind = (kind) => BACKUP_KINDS[kind] ?? sentence(kind ?? "backup");

/// Whether a service is up: level and words. One that is optional and stopped is no failure.
export function serviceState(service, now) {
  const { status, health, optional, replicas } = service;
  // It answers, so it runs; perhaps outside of containers.
  if (service.service === "recovery" && status === "not_found") return ["ok", "Running, outside of containers"];
  const some = replicas && replicas.up < replicas.total ? ` (${replicas.up} of ${replicas.total} up)` : "";
  const ended = exitWords(service, now);
  const exit = ended ? `: ${ended}` : "";
  switch (status) {
    case "running":
      if (health === "unhealthy") return ["bad", `Running, but its health check fails${some}`];
      if (health === "starting") return ["busy", `Starting${some}`];
      if (some) return ["bad", `Running${some}`];
      return ["ok", health === "healthy" ? "Running, healthy" : "Running"];
    case "exited":
      return [optional ? "off" : "bad", `${optional ? "Stopped" : "Not running"}${exit}`];
    case "restarting":
      return ["bad", `Restarting again and again${exit}`];
    case "paused":
      return ["warn", "Paused"];
    case "created":
      return [optional ? "off" : "warn", "Made, never started"];
    case "removing":
      return ["warn", "Being removed"];
    case "dead":
      return ["bad", "Dead: the engine could not remove it"];
    case "not_found":
      return [optional ? "off" : "bad", optional ? "Off" : "It has no container"];
    default:
      return ["unknown", "Nobody can tell now"];
  }
}

/// `exited 3 minutes ago with code 137`, as far as that is known; else empty.
export function exitWords({ last_exit: exit }, now) {
  if (!exit) return "";
  const when = exit.at ? ` ${relative(exit.at, now)}` : "";
  const code = Number.isInteger(exit.code) ? ` with code ${exit.code}` : "";
  return when || code ? `exited${when}${code}` : "";
}

/// What proves a backup: level and words.
export function proofOf(backup, now) {
  const { verification, verified_level: level, verified_at: at, last_drill: drill } = backup;
  if (verification === "failed") return ["bad", "Damaged: do not rely on it"];
  if (drill?.result === "verified") return ["ok", `Rehearsed: restored and compared ${relative(drill.at, now)}`];
  if (verification === "verified") {
    const how = { hashes: "every byte hashed", contents: "read to its end", restore: "restored and compared" }[level];
    return ["ok", `Verified${how ? `: ${how}` : ""}${at ? ` ${relative(at, now)}` : ""}`];
  }
  return ["warn", "Not verified yet"];
}

const ofProfile = (name) => `Seen once the profile ${name} is stopped and started, under Services.`;
const OF_BACKEND = "Seen once the inference backend is started anew, under Inference.";
const ofServices = (...names) => `Seen once ${list(names)} ${names.length === 1 ? "is" : "are"} made anew: docker compose up -d ${names.join(" ")}. A restart alone does not.`;

const TAKES = {
  CLOUDFLARE_TUNNEL_TOKEN: ofProfile("cloudflare-tunnel"),
  TAILSCALE_AUTHKEY: ofProfile("tailscale"),
  VLLM_MODEL: OF_BACKEND,
  VLLM_GPU_MEMORY_UTILIZATION: OF_BACKEND,
  SGLANG_MODEL: OF_BACKEND,
  HF_TOKEN: OF_BACKEND,
  OLLAMA_BASE_URL: ofServices("llm-gateway"),
  LLM_ROUTING_STRATEGY: ofServices("llm-gateway"),
  DEFAULT_CHAT_MODEL: ofServices("llm-gateway", "chat-api"),
  COMPOSE_PROFILES: "Seen by the next docker compose up. To start or stop a profile now, use its buttons under Services.",
};

/// What has to be made anew before a change of this variable shows.
export function takesEffect(key) {
  if (TAKES[key]) return TAKES[key];
  if (key.startsWith("EDITOR_") || key.endsWith("_CONFIG_PATH")) return "Seen once the editor's profile is stopped and started, under Services.";
  return "Seen once the containers that read it are made anew: docker compose up -d. A restart alone does not.";
}
