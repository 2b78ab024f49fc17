// Walks over the indexed frames of a video, in order of time.

import * as api from "./api.js";

const SPAN_MS = 60_000; // on either side of a moment
const MOST = 1000; // hits of one answer

export class Frames {
  constructor(hit) {
    this.hit = hit;
    this.near = [];
  }

  // The frame that lies one further (by = 1) or before (-1) becomes the current one; null at the video's ends.
  async step(by) {
    const found = this.beside(by) ?? (await this.look().then(() => this.beside(by)));
    if (found) this.hit = found;
    return found;
  }

  beside(by) {
    const at = this.near.findIndex((one) => one.frame_id === this.hit.frame_id);
    return at < 0 ? null : (this.near[at + by] ?? null);
  }

  // An answer has the most similar frames: only one that is not full has all of them.
  async look() {
    for (let span = SPAN_MS; ; span /= 4) {
      const answer = await api.search(this.request(Math.round(span)));
      this.near = answer.hits.sort((a, b) => a.time_ms - b.time_ms || (BigInt(a.frame_id) < BigInt(b.frame_id) ? -1 : 1));
      if (answer.hits.length < MOST || span < 1) return;
    }
  }

  request(span) {
    const { video, time_ms: time, frame_id: frame } = this.hit;
    return { query: { frame }, videos: [video], between: [Math.max(0, time - span), time + span + 1], top: MOST, include_suppressed: true };
  }
}
