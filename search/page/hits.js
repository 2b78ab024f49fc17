// Hits as cards: the frame, when and where it is, how far, and the ways on from it.

import * as api from "./api.js";
import { colour } from "./concepts.js";
import { button, element, picture } from "./dom.js";
import { clock, count, nameOf, pathOf, placeOf } from "./format.js";

const CONCEPTS_SHOWN = 2;
const MASK_DELAY_MS = 150; // a pointer that only passes by asks for nothing

export function card(hit, bits, mark, actions) {
  const time = clock(hit.time_ms);
  const name = nameOf(hit);
  const nearness = nearnessOf(hit, bits);
  const play = button("", () => actions.play(hit), {
    class: "frame",
    "aria-label": hit.member ? `Show ${name}, ${nearness.text}` : `Play ${name} from ${time}, ${nearness.text}`,
  });
  play.append(picture(api.thumbnail(hit.frame_id)));
  if (!hit.member) play.append(element("span", { class: "time", "aria-hidden": "true" }, time));
  if (hit.concepts?.length) showMaskOn(play, hit.frame_id);
  return element(
    "li",
    { class: `hit ${mark ?? ""}`, data: { frame: hit.frame_id } },
    element("div", { class: "shot" }, play, ways(hit, hit.member ? name : `${name} at ${time}`, mark, actions)),
    element("p", { class: "name", title: pathOf(hit) }, name),
    element(
      "div",
      { class: "line" },
      element("p", { class: "folder", title: pathOf(hit) }, placeOf(hit)),
      element("span", { class: "distance", title: nearness.title }, nearness.meter, nearness.text),
    ),
    hit.concepts?.length ? conceptChips(hit.concepts) : null,
  );
}

function nearnessOf(hit, bits) {
  const byArea = hit.distance === 0 && hit.score !== null && hit.score !== undefined && hit.byArea;
  const value = byArea ? hit.score : Math.max(0, 1 - hit.distance / bits);
  const meter = element("meter", { min: 0, max: 1, value: value.toFixed(3), "aria-hidden": "true" });
  if (byArea) return { meter, text: `${Math.round(100 * hit.score)} %`, title: "Share of the picture that it covers" };
  return { meter, text: `distance ${hit.distance}`, title: `${hit.distance} of ${bits} bits differ` };
}

function ways(hit, what, mark, actions) {
  const marker = (kind, text, label) =>
    button(text, () => actions.mark(hit, mark === kind ? null : kind), {
      class: kind,
      "aria-pressed": String(mark === kind),
      "aria-label": `${label} ${what}`,
      "aria-keyshortcuts": text[0],
      title: `${label} this (${text[0]})`,
    });
  return element(
    "div",
    { class: "ways" },
    marker("good", "Good", "More like"),
    marker("bad", "Bad", "Less like"),
    button("Similar", () => actions.similar(hit), {
      class: "similar",
      "aria-label": `Find frames similar to ${what}`,
      "aria-keyshortcuts": "S",
      title: "Find frames similar to this (S)",
    }),
  );
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

function showMaskOn(frame, frameId) {
  let timer = 0;
  const show = (event) => {
    clearTimeout(timer);
    if (event.type === "focus" && !frame.matches(":focus-visible")) return; // a pointer put it there
    timer = setTimeout(() => {
      const mask = element("img", { class: "mask", alt: "", src: api.mask(frameId) });
      mask.addEventListener("error", () => mask.remove());
      frame.append(mask);
    }, MASK_DELAY_MS);
  };
  const hide = () => {
    clearTimeout(timer);
    for (const mask of frame.querySelectorAll(".mask")) mask.remove();
  };
  for (const event of ["pointerenter", "focus"]) frame.addEventListener(event, show);
  for (const event of ["pointerleave", "blur"]) frame.addEventListener(event, hide);
}

export function summary(answer, milliseconds, isBrowsing) {
  const gallery = count(answer.gallery, "frame");
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
