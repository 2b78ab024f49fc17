// Builds elements. Text always goes in as text, never as markup, so a file name cannot become part of the page.

import { loadWhenSeen } from "./thumbnails.js";

export function element(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) node.addEventListener(event, run);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

export function button(text, run, options = {}) {
  return element("button", { type: "button", ...options, on: { click: run } }, text);
}

// A picture that says so when there is none, since sources may move away.
export function picture(address, alt = "") {
  const image = element("img", { alt, decoding: "async" });
  loadWhenSeen(image, address);
  image.addEventListener("error", () => {
    image.replaceWith(element("span", { class: "no-picture" }, "no picture"));
  });
  return image;
}

// Replaces a list's children but keeps those that did not change, so that focus and scrolling survive a refresh.
export function refresh(list, items, keyOf, build) {
  const old = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const nodes = items.map((item) => {
    const key = String(keyOf(item));
    const state = JSON.stringify(item);
    const kept = old.get(key);
    old.delete(key); // two items with one key are two rows
    if (kept && kept.dataset.state === state) return kept;
    const node = build(item);
    node.dataset.key = key;
    node.dataset.state = state;
    if (kept) keepFocus(kept, node);
    return node;
  });
  const same = nodes.length === list.children.length && nodes.every((node, index) => node === list.children[index]);
  if (!same) list.replaceChildren(...nodes);
}

function keepFocus(old, fresh) {
  const place = [...old.querySelectorAll("button")].indexOf(document.activeElement);
  if (place >= 0) requestAnimationFrame(() => fresh.querySelectorAll("button")[place]?.focus());
}
