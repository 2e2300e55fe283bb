// Makes and changes what is on the page. Text only ever becomes text: nothing here reads a string as markup.

const SVG = "http://www.w3.org/2000/svg";
const LISTENERS = Symbol("listeners");

/// An element. `props`: `class`, `on` (listeners by event), `key` (tells siblings apart), any other as an attribute;
/// `false`, `null` and `undefined` leave one out. Children: nodes, texts, lists of them; empty ones are left out.
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/// As `h`, for drawings.
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "on") listen(node, value);
    else if (name === "key") node.dataset.key = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(node, child);
    else if (child instanceof Node) node.append(child);
    else if (child !== null && child !== undefined && child !== false && child !== "") node.append(String(child));
  }
}

function listen(node, listeners) {
  for (const [event, listener] of Object.entries(listeners)) {
    // What it returns is nobody's business: `false` would keep the browser from doing its part.
    node[`on${event}`] = (happened) => {
      listener(happened);
    };
  }
  node[LISTENERS] = listeners;
}

/// Makes the children of `root` what these are, changing as little as possible: focus, open drawers, and what somebody
/// is typing stay. Where what had the focus is gone, the part of the page around it gets it.
export function render(root, ...children) {
  const target = document.createElement("div");
  append(target, children);
  const hadFocus = root.contains(document.activeElement);
  morphChildren(root, target);
  if (!hadFocus || root.contains(document.activeElement)) return;
  const around = root.closest("[tabindex]");
  const next = around?.checkVisibility() ? around : document.getElementById("verdict");
  next.focus({ preventScroll: true });
}

function morphChildren(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  const stays = new Set([...to.children].map((child) => child.dataset?.key));
  let current = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    // What is gone goes first: what stays is not moved past it, since what is moved loses the focus.
    while (current?.dataset?.key && !stays.has(current.dataset.key)) {
      const gone = current;
      current = current.nextSibling;
      gone.remove();
    }
    const key = wanted.dataset?.key;
    const match = key ? keyed.get(key) : current && alike(current, wanted) ? current : null;
    if (match && match.nodeName === wanted.nodeName) {
      if (key) keyed.delete(key);
      if (match === current) current = current.nextSibling;
      else from.insertBefore(match, current);
      morph(match, wanted);
    } else {
      from.insertBefore(wanted, current);
    }
  }
  while (current) {
    const next = current.nextSibling;
    current.remove();
    current = next;
  }
}

function alike(a, b) {
  return a.nodeName === b.nodeName && !a.dataset?.key && !b.dataset?.key;
}

function morph(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  for (const { name } of [...from.attributes]) {
    // Whether a drawer is open is the reader's to say.
    if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const event of Object.keys(from[LISTENERS] ?? {})) from[`on${event}`] = null;
  if (to[LISTENERS]) listen(from, to[LISTENERS]);
  if (from.nodeName === "INPUT" || from.nodeName === "TEXTAREA") return;
  if (from.nodeName === "SELECT" && from === document.activeElement) return;
  morphChildren(from, to);
}

const ICONS = {
  ok: ["M12 2.75a9.25 9.25 0 1 0 0 18.5 9.25 9.25 0 0 0 0-18.5Z", "m7.8 12.3 2.9 2.9 5.6-6"],
  warn: ["M12 3.2 2.4 20.2h19.2L12 3.2Z", "M12 9.6v5", "M12 17.4v.2"],
  bad: ["M8.2 2.75h7.6l5.45 5.45v7.6l-5.45 5.45H8.2L2.75 15.8V8.2L8.2 2.75Z", "m9 9 6 6", "m15 9-6 6"],
  busy: ["M12 2.75a9.25 9.25 0 1 0 0 18.5 9.25 9.25 0 0 0 0-18.5Z", "M12 7v5.2l3.4 2"],
  unknown: ["M12 2.75a9.25 9.25 0 1 0 0 18.5 9.25 9.25 0 0 0 0-18.5Z", "M9.4 9.3a2.7 2.7 0 1 1 3.9 2.4c-.9.5-1.3 1-1.3 2", "M12 16.6v.2"],
  off: ["M12 2.75a9.25 9.25 0 1 0 0 18.5 9.25 9.25 0 0 0 0-18.5Z", "M8 12h8"],
};

/// A sign for a state; the words beside it say the same, so it is hidden from who cannot see it.
export function icon(name) {
  const lines = (ICONS[name] ?? ICONS.unknown).map((d) => svg("path", { d }));
  return svg("svg", { class: `icon is-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, lines);
}

/// A button. `busy` keeps it from being pressed twice, without taking the focus away.
export function button(label, press, { kind = "", busy = false, disabled = false, key, describe } = {}) {
  const idle = !busy && !disabled;
  return h(
    "button",
    {
      type: "button",
      class: `button ${kind}`.trim(),
      key,
      "aria-disabled": idle ? null : "true",
      "aria-busy": busy ? "true" : null,
      "aria-label": describe ? `${label}: ${describe}` : null,
      on: { click: idle ? press : (event) => event.preventDefault() },
    },
    label,
  );
}
