// Numbers and times in words.

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/// A size for people: three digits at most.
export function size(bytes) {
  if (!Number.isFinite(bytes)) return "unknown";
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const text = unit === 0 || value >= 99.5 ? Math.round(value) : value >= 9.95 ? value.toFixed(1) : value.toFixed(2);
  return `${text} ${UNITS[unit]}`;
}

/// A whole number, its digits in groups.
export function count(number) {
  return Number.isFinite(number) ? number.toLocaleString("en-GB") : "unknown";
}

/// `1 table`, `2 tables`.
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/// A length of time: the two units that matter.
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return plural(s, "second");
  if (s < 3600) return s < 600 && s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : plural(Math.floor(s / 60), "minute");
  if (s < 86400) {
    const minutes = Math.floor((s % 3600) / 60);
    return s < 36000 && minutes ? `${Math.floor(s / 3600)} h ${minutes} min` : plural(Math.floor(s / 3600), "hour");
  }
  return plural(Math.floor(s / 86400), "day");
}

/// How long ago, or how long until.
export function relative(at, now) {
  const seconds = (now - Date.parse(at)) / 1000;
  if (!Number.isFinite(seconds)) return "at an unknown time";
  if (Math.abs(seconds) < 5) return "just now";
  return seconds > 0 ? `${coarse(seconds)} ago` : `in ${coarse(-seconds)}`;
}

function coarse(seconds) {
  if (seconds < 60) return plural(Math.round(seconds), "second");
  if (seconds < 3600) return plural(Math.round(seconds / 60), "minute");
  if (seconds < 86400 * 2) return plural(Math.round(seconds / 3600), "hour");
  return plural(Math.round(seconds / 86400), "day");
}

const TODAY = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const OTHER_DAY = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
});

/// A moment on the reader's own clock.
export function clock(at, now = Date.now()) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "unknown";
  const format = date.toDateString() === new Date(now).toDateString() ? TODAY : OTHER_DAY;
  return format.format(date);
}

/// `a`, `a and b`, `a, b and c`.
export function list(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}
