// Hits as cards: the frame, when and where it is, how far, and the ways on from it.

import * as api from "./api.js";
import { button, element, picture } from "./dom.js";
import { clock, count, fileName } from "./format.js";

export function card(hit, bits, actions) {
  const time = clock(hit.time_ms);
  const name = fileName(hit.source);
  const near = Math.max(0, 1 - hit.distance / bits);
  const meter = element("meter", { min: 0, max: 1, value: near.toFixed(3), "aria-hidden": "true" });
  const play = button("", () => actions.play(hit), {
    class: "frame",
    "aria-label": `Play ${name} from ${time}, distance ${hit.distance}`,
  });
  play.append(picture(api.thumbnail(hit.frame_id)), element("span", { class: "time", "aria-hidden": "true" }, time));
  const seen = (hit.concepts ?? []).map((concept) => `${concept.name} ${Math.round(100 * concept.area)} %`).join(", ");
  const concepts = seen ? [element("p", { class: "concepts", title: `The model sees: ${seen}` }, seen)] : [];
  return element(
    "li",
    { class: "hit", data: { frame: hit.frame_id } },
    play,
    element("p", { class: "name", title: hit.source }, name),
    ...concepts,
    element(
      "div",
      { class: "foot" },
      element("span", { class: "distance", title: `${hit.distance} of ${bits} bits differ` }, meter, `distance ${hit.distance}`),
      button("Similar", () => actions.similar(hit), {
        class: "quiet-button",
        "aria-label": `Find frames similar to ${name} at ${time}`,
      }),
    ),
  );
}

export function summary(answer, milliseconds) {
  const gallery = count(answer.gallery, "frame");
  if (!answer.hits.length) return `Nothing found among ${gallery}.`;
  const last = answer.hits[answer.hits.length - 1].distance;
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
