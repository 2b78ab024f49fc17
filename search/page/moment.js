// How long what was found goes on, and a video that stops there.

import * as api from "./api.js";

const LEAST_MS = 2_000; // less is over before one has looked
const MOST_MS = 30_000;
const WINDOW_MS = 10_000; // where it cannot be told
const PATIENCE_MS = 2_000;
const MOST_FRAMES = 1000; // hits of one answer
const ALIKE = 0.25; // share of bits that differ within a shot
const NEAR_S = 0.4; // events tell the time a few times a second: the last stretch is timed
const SLIP_S = 0.1;

// The end in ms. A stretch that a clip matched has one; a hit's lies where the indexed frames stop looking like it.
export function endOf(hit) {
  if (hit.end_ms) return Promise.resolve(hit.end_ms);
  const guess = hit.time_ms + WINDOW_MS;
  const late = new Promise((resolve) => setTimeout(() => resolve(guess), PATIENCE_MS));
  return Promise.race([look(hit).catch(() => guess), late]);
}

async function look({ video, frame_id: frame, time_ms: time }) {
  const between = [time, time + MOST_MS + 1];
  const answer = await api.search({ query: { frame }, videos: [video], between, top: MOST_FRAMES, include_suppressed: true });
  // An answer has the nearest frames: a full one may lack those between.
  if (answer.hits.length >= MOST_FRAMES) return time + WINDOW_MS;
  const frames = answer.hits.sort((a, b) => a.time_ms - b.time_ms);
  const cut = frames.findIndex((one) => one.distance > ALIKE * answer.bits);
  if (cut < 1) return time + MOST_MS;
  return Math.max(time + LEAST_MS, (frames[cut - 1].time_ms + frames[cut].time_ms) / 2);
}

export class Stop {
  constructor(video, onStop, onLeave) {
    Object.assign(this, { video, onStop, onLeave, span: null, timer: 0 });
    video.addEventListener("timeupdate", () => this.look());
    video.addEventListener("ended", () => this.span && this.halt()); // what ends with the video
    video.addEventListener("seeking", () => this.seek());
  }

  // In seconds; from then on whoever goes elsewhere is not held up.
  set(start, end) {
    this.span = [start, end];
    this.look();
  }

  clear() {
    clearTimeout(this.timer);
    this.span = null;
  }

  look() {
    clearTimeout(this.timer);
    if (!this.span || this.video.paused) return;
    const end = this.span[1];
    const left = end - this.video.currentTime;
    if (left > NEAR_S) return;
    if (left > 0) {
      this.timer = setTimeout(() => this.look(), (1000 * left) / this.video.playbackRate);
      return;
    }
    this.halt();
    if (left < -SLIP_S) this.video.currentTime = end;
  }

  halt() {
    this.clear();
    this.video.pause();
    this.onStop();
  }

  seek() {
    if (!this.span) return;
    const [start, end] = this.span;
    if (this.video.currentTime >= start - NEAR_S && this.video.currentTime <= end) return;
    this.clear();
    this.onLeave();
  }
}
