// Hits as cards: the frame, when and where it is, how far, and the ways on from it.

import * as api from "./api.js";
import { colour } from "./concepts.js";
import { element, picture } from "./dom.js";
import { clock, count, nameOf, pathOf, placeOf } from "./format.js";

const CONCEPTS_SHOWN = 2;
const MASK_DELAY_MS = 150; // a pointer that only passes by asks for nothing

const hitOf = new WeakMap(); // card -> hit

// Few nodes a card, and no listeners: there may be a thousand.
export function card(hit, bits, mark) {
  const time = clock(hit.time_ms);
  const name = nameOf(hit);
  const path = pathOf(hit);
  const nearness = nearnessOf(hit, bits);
  const span = hit.end_ms ? `${time} to ${clock(hit.end_ms)}` : time;
  const label = hit.member ? `Show ${name}, ${nearness.text}` : `Play ${name} from ${span}, ${nearness.text}`;
  const distance = element("span", { class: "distance", title: nearness.title }, nearness.text);
  distance.style.setProperty("--near", nearness.value.toFixed(3));
  const item = element(
    "li",
    { class: `hit ${mark ?? ""}`, data: { frame: hit.frame_id } },
    element(
      "div",
      { class: "shot" },
      element("button", { class: "frame", type: "button", "aria-label": label }, picture(api.thumbnail(hit.frame_id)), hit.member ? null : element("span", { class: "time" }, span.replace(" to ", "–"))),
      ways(hit.member ? name : `${name} at ${time}`, mark, Boolean(hit.end_ms)),
    ),
    element("p", { class: "name", title: path }, name),
    element("p", { class: "line" }, element("span", { class: "folder", title: path }, placeOf(hit)), distance),
    hit.concepts?.length ? conceptChips(hit.concepts) : null,
  );
  hitOf.set(item, hit);
  return item;
}

function nearnessOf(hit, bits) {
  if (hit.end_ms) return { value: hit.score, text: `${Math.round(100 * hit.score)} % alike`, title: `${hit.frames} frames, ${hit.distance.toFixed(1)} of ${bits} bits differ on average` };
  const byArea = hit.distance === 0 && hit.score !== null && hit.score !== undefined && hit.byArea;
  if (byArea) return { value: hit.score, text: `${Math.round(100 * hit.score)} %`, title: "Share of the picture that it covers" };
  return { value: Math.max(0, 1 - hit.distance / bits), text: `distance ${hit.distance}`, title: `${hit.distance} of ${bits} bits differ` };
}

function ways(what, mark, isStretch) {
  const way = (kind, text, label, title) =>
    element("button", { type: "button", class: kind, "aria-label": `${label} ${what}`, "aria-keyshortcuts": text[0], "aria-pressed": kind === "similar" ? null : String(mark === kind), title: `${title} (${text[0]})` }, text);
  return element(
    "div",
    { class: "ways" },
    isStretch ? null : way("good", "Good", "More like", "More like this"),
    isStretch ? null : way("bad", "Bad", "Less like", "Less like this"),
    way("similar", "Similar", "Find frames similar to", "Find frames similar to this"),
  );
}

// What the buttons of all cards do, and masks over frames that are pointed at or have the focus.
export function actOn(grid, actions) {
  grid.addEventListener("click", (event) => {
    const way = event.target.closest(".hit button");
    const hit = way && hitOf.get(way.closest(".hit"));
    if (!hit) return;
    const kind = way.classList.contains("good") ? "good" : "bad";
    if (way.classList.contains("frame")) actions.play(hit);
    else if (way.classList.contains("similar")) actions.similar(hit);
    else actions.mark(hit, way.getAttribute("aria-pressed") === "true" ? null : kind);
  });
  for (const name of ["pointerover", "focusin"]) grid.addEventListener(name, showMask);
  for (const name of ["pointerout", "focusout"]) grid.addEventListener(name, hideMask);
}

function conceptChips(concepts) {
  const all = concepts.map((concept) => `${concept.name} ${Math.round(100 * concept.area)} %`).join(", ");
  const shown = concepts.slice(0, CONCEPTS_SHOWN).map((concept) => element("li", {}, swatch(concept.name), concept.name));
  const rest = concepts.length - shown.length;
  if (rest > 0) shown.push(element("li", {}, `+${rest}`));
  return element("ul", { class: "concepts", title: `The model sees: ${all}`, "aria-label": `The model sees: ${all}` }, ...shown);
}

export function swatch(name) {
  const dot = element("span", { class: "swatch", "aria-hidden": "true" });
  dot.style.background = colour(name);
  return dot;
}

let waiting = 0;

// The frame that an event leads into, or out of; moves within it are none.
function crossed(event) {
  const frame = event.target.closest(".frame");
  return frame && !frame.contains(event.relatedTarget) ? frame : null;
}

function showMask(event) {
  const frame = crossed(event);
  const hit = frame && hitOf.get(frame.closest(".hit"));
  if (!hit?.concepts?.length) return;
  clearTimeout(waiting);
  if (event.type === "focusin" && !frame.matches(":focus-visible")) return; // a pointer put it there
  waiting = setTimeout(() => {
    if (frame.querySelector(".mask")) return;
    const mask = element("img", { class: "mask", alt: "", src: api.mask(hit.frame_id) });
    mask.addEventListener("error", () => mask.remove());
    frame.append(mask);
  }, MASK_DELAY_MS);
}

function hideMask(event) {
  const frame = crossed(event);
  if (!frame) return;
  clearTimeout(waiting);
  for (const mask of frame.querySelectorAll(".mask")) mask.remove();
}

export function summary(answer, milliseconds, isBrowsing) {
  const gallery = count(answer.gallery, "frame");
  if (answer.clip_ms) return `${answer.hits.length ? count(answer.hits.length, "stretch", "stretches") : "Nothing"} found among ${gallery} · ${Math.round(milliseconds)} ms`;
  if (!answer.hits.length) return `Nothing found among ${gallery}.`;
  const last = answer.hits[answer.hits.length - 1].distance;
  if (isBrowsing) return `${answer.hits.length.toLocaleString("en")} of ${gallery} · ${Math.round(milliseconds)} ms`;
  const more = answer.tie_band - answer.hits.filter((hit) => hit.distance === last).length;
  const ties = more > 0 ? ` · ${more.toLocaleString("en")} more at distance ${last}` : "";
  return `${answer.hits.length.toLocaleString("en")} nearest of ${gallery}${ties} · ${Math.round(milliseconds)} ms`;
}

export function notes(answer) {
  const texts = [];
  if (answer.stale) texts.push("Redis does not answer: the newest videos may be missing from these results.");
  if (answer.behind) texts.push("The index is catching up: the newest frames may be missing from these results.");
  return texts.map((text) => element("p", { class: "note" }, text));
}
