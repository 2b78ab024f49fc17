// Hits that the user calls good or bad: the search goes on with more like the ones and less like the others.

import { byId } from "./dom.js";
import { count } from "./format.js";

export class Marks {
  constructor(onChange) {
    this.kinds = new Map(); // frame id -> "good" or "bad"
    this.onChange = onChange;
    byId("marks-clear").addEventListener("click", () => {
      this.clear();
      this.onChange();
    });
  }

  get size() {
    return this.kinds.size;
  }

  get more() {
    return this.all("good");
  }

  get less() {
    return this.all("bad");
  }

  all(kind) {
    return [...this.kinds].filter(([, one]) => one === kind).map(([frame]) => frame);
  }

  of(frame) {
    return this.kinds.get(frame) ?? null;
  }

  set(hit, kind) {
    if (kind) this.kinds.set(hit.frame_id, kind);
    else this.kinds.delete(hit.frame_id);
    this.show();
    this.onChange();
  }

  clear() {
    this.kinds.clear();
    this.show();
  }

  show() {
    byId("marks").hidden = !this.size;
    const parts = [this.more.length && count(this.more.length, "good hit"), this.less.length && count(this.less.length, "bad hit")];
    byId("marks-text").textContent = this.size ? `Ordered by ${parts.filter(Boolean).join(" and ")}` : "";
  }
}
