// What is watched for, and the new finds of each watch, to acknowledge or dismiss.

import * as api from "./api.js";
import { button, byId, element, picture, refresh } from "./dom.js";
import { clock, count, nameOf, pathOf } from "./format.js";

const SHOWN = 12; // new finds of one watch

export class WatchList {
  constructor(app) {
    this.app = app;
  }

  async load() {
    const { watches } = await api.watches();
    return Promise.all(watches.map(async (watch) => ({ ...watch, finds: await api.newFinds(watch.id, SHOWN) })));
  }

  show(watches) {
    byId("watches-section").hidden = !watches.length;
    refresh(byId("watches"), watches, (watch) => watch.id, (watch) => this.row(watch));
  }

  row(watch) {
    const { hits, next } = watch.finds;
    const all = button("Acknowledge all shown", () => this.mark(watch, hits, "acknowledged"), { "aria-label": `Acknowledge all finds of ${titleOf(watch)} that are shown` });
    return element(
      "li",
      { class: "job panel" },
      element("div", { class: "job-head" }, element("h3", {}, titleOf(watch)), element("span", { class: "quiet" }, `${hits.length}${next ? " or more" : ""} new`)),
      element("p", { class: "quiet" }, factsOf(watch)),
      watch.problem ? element("p", { class: "error" }, watch.problem) : null,
      hits.length ? element("ul", { class: "hits finds", "aria-label": `New finds of ${titleOf(watch)}` }, ...hits.map((hit) => this.find(watch, hit))) : null,
      hits.length > 1 && this.app.mayAdd() ? element("div", { class: "buttons" }, all) : null,
      element("p", { class: "error", role: "alert" }),
    );
  }

  find(watch, hit) {
    const what = `${nameOf(hit)} at ${clock(hit.time_ms)}`;
    const play = button("", () => this.app.player.open(hit), { class: "frame", "aria-label": `Play ${what}` });
    play.append(picture(api.thumbnail(hit.frame_id)), element("span", { class: "time", "aria-hidden": "true" }, clock(hit.time_ms)));
    const say = (text, state, verb) => button(text, () => this.mark(watch, [hit], state), { "aria-label": `${verb} ${what}` });
    return element(
      "li",
      { class: "hit" },
      element("div", { class: "shot" }, play),
      element("p", { class: "name", title: pathOf(hit) }, nameOf(hit)),
      element("p", { class: "folder" }, `distance ${hit.distance}`),
      this.app.mayAdd() ? element("div", { class: "buttons" }, say("Acknowledge", "acknowledged", "Acknowledge"), say("Dismiss", "dismissed", "Dismiss")) : null,
    );
  }

  async mark(watch, hits, state) {
    try {
      await api.markFinds(watch.id, hits.map((hit) => hit.frame_id), state);
      this.show(await this.load());
    } catch (error) {
      const row = [...byId("watches").children].find((one) => one.dataset.key === watch.id);
      row.querySelector(".error[role=alert]").textContent = error.message;
    }
  }
}

const titleOf = (watch) => watch.name || `Watch ${watch.id}`;

function factsOf(watch) {
  const kept = watch.hits ? [`${count(watch.hits, "find")} in all`] : [];
  return [count(watch.examples, "example"), `up to distance ${watch.radius}`, ...kept, watch.note].filter(Boolean).join(" · ");
}
