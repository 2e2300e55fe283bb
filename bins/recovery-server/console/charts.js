// Small drawings of what a number did lately.

import { h, svg } from "./dom.js";

const [WIDTH, HEIGHT] = [240, 56];

/// A line over the last `samples` (numbers, oldest first; `null` where there was none), from 0 to `most`. The words
/// beside it say the newest value, so the drawing itself is only described.
export function chart(label, samples, most, words) {
  const known = samples.filter(Number.isFinite);
  const top = Math.max(most ?? 0, ...known, 1);
  const step = WIDTH / Math.max(1, samples.length - 1);
  const at = (sample, index) => `${(index * step).toFixed(1)},${(HEIGHT - 2 - (sample / top) * (HEIGHT - 4)).toFixed(1)}`;
  const points = samples.map((sample, index) => (Number.isFinite(sample) ? at(sample, index) : null)).filter(Boolean);
  const drawn = points.length > 1;
  const area = drawn && `${points[0].split(",")[0]},${HEIGHT} ${points.join(" ")} ${points[points.length - 1].split(",")[0]},${HEIGHT}`;
  return h(
    "figure",
    { class: "chart", key: `chart-${label}` },
    h("figcaption", null, h("span", { class: "muted" }, label), h("span", { class: "strong" }, words)),
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${label}: ${words}` },
      drawn && svg("polygon", { class: "area", points: area }),
      drawn && svg("polyline", { class: "curve", points: points.join(" ") }),
    ),
  );
}
