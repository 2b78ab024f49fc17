// Plays a video from the moment of a hit to where that ends; where the browser cannot, shows the indexed frames.

import * as api from "./api.js";
import { byId } from "./dom.js";
import { clock, nameOf, pathOf } from "./format.js";
import { Frames } from "./frames.js";
import { endOf, Stop } from "./moment.js";

const PATIENCE_MS = 8_000; // without a first picture; a browser that stalls reports no error
const UNPLAYABLE = "This browser cannot play the file.";
const PICTURES = "One of several pictures.";
const SLOW = "The video is slow to come.";

export class Player {
  constructor(onSimilar) {
    this.dialog = byId("player");
    this.video = byId("player-video");
    this.frame = byId("player-frame");
    this.note = byId("player-note");
    byId("player-close").addEventListener("click", () => this.dialog.close());
    byId("player-back").addEventListener("click", () => this.step(-1));
    byId("player-next").addEventListener("click", () => this.step(1));
    byId("player-play").addEventListener("click", () => this.play());
    byId("player-again").addEventListener("click", () => this.again());
    byId("player-on").addEventListener("click", () => this.playOn());
    this.end = new Stop(this.video, () => this.stopped(), () => this.tellEnd(null));
    byId("player-similar").addEventListener("click", () => {
      this.dialog.close();
      onSimilar(this.frames.hit);
    });
    this.dialog.addEventListener("close", () => this.stop());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.video.addEventListener("error", () => this.video.hasAttribute("src") && this.showFrames(UNPLAYABLE));
    this.video.addEventListener("loadeddata", () => this.arrived());
    // Its own controls play on, too.
    this.video.addEventListener("play", () => byId("player-again").hidden || this.tellEnd(null));
  }

  open(hit) {
    this.hit = hit;
    this.frames = new Frames(hit);
    this.endMs = hit.whole || hit.member ? Promise.resolve(null) : endOf(hit);
    byId("player-title").textContent = nameOf(hit);
    byId("player-title").title = byId("player-folder").textContent = pathOf(hit);
    if (hit.member) this.openPicture();
    else this.openVideo(hit);
  }

  // Pictures of a folder or an archive: there is nothing to play.
  openPicture() {
    this.setMode(true);
    this.dialog.showModal();
    this.showFrames(PICTURES);
  }

  openVideo(hit) {
    this.video.poster = api.thumbnail(hit.frame_id, 960);
    this.video.src = api.source(hit.video, hit.time_ms);
    this.patience = setTimeout(() => this.showFrames(SLOW), PATIENCE_MS);
    this.dialog.showModal();
    this.play();
  }

  stop() {
    clearTimeout(this.patience);
    this.end.clear();
    this.hit = this.endMs = null;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.removeAttribute("poster");
    this.video.load();
    this.frame.removeAttribute("src");
  }

  get plays() {
    return this.frame.hidden;
  }

  setMode(plays) {
    this.video.hidden = !plays;
    this.frame.hidden = plays;
    byId("player-back").hidden = byId("player-next").hidden = plays;
    byId("player-play").hidden = byId("player-on").hidden = byId("player-again").hidden = true;
    if (!plays) this.end.clear();
  }

  // It begins when it is known where to stop.
  async play() {
    const wanted = this.endMs;
    this.setMode(true);
    this.video.focus();
    const end = await wanted;
    if (this.endMs !== wanted || !this.plays) return;
    if (end !== null) this.end.set(this.hit.time_ms / 1000, end / 1000);
    this.tellEnd(end);
    this.run();
  }

  run() {
    // Refused where the browser wants a click of its own; the controls are there for that.
    this.video.play().catch(() => undefined);
  }

  tellEnd(end) {
    if (end === null && document.activeElement === byId("player-on")) this.video.focus();
    byId("player-on").hidden = end === null;
    byId("player-again").hidden = true;
    this.note.textContent = end === null ? `From ${clock(this.hit.time_ms)}` : `${clock(this.hit.time_ms)} to ${clock(end)}`;
  }

  async stopped() {
    byId("player-again").hidden = false;
    this.note.textContent = `Stopped at ${clock(await this.endMs)}, where this moment ends.`;
  }

  playOn() {
    this.end.clear();
    this.tellEnd(null);
    this.run();
  }

  again() {
    this.video.currentTime = this.hit.time_ms / 1000;
    this.play();
  }

  // A file whose sound alone can be played has no picture. One that comes late waits while its frames are walked.
  arrived() {
    clearTimeout(this.patience);
    if (!this.video.videoWidth) this.showFrames(UNPLAYABLE);
    else if (!this.plays && this.frames.hit === this.hit) this.play();
    else if (!this.plays) {
      this.video.pause();
      byId("player-play").hidden = false;
    }
  }

  async showFrames(why) {
    clearTimeout(this.patience);
    const hit = this.hit;
    if (!hit) return;
    if (why === UNPLAYABLE) this.video.pause();
    if (this.plays) {
      this.setMode(false);
      this.show(hit);
      byId("player-next").focus();
    }
    this.why = why;
    const trouble = why === UNPLAYABLE ? await api.sourceTrouble(hit.video) : "";
    if (this.hit !== hit || this.plays) return;
    this.why = trouble ? sentence(trouble) : this.why;
    this.tell(placeIn(this.frames.hit));
  }

  show(hit) {
    this.frame.src = api.thumbnail(hit.frame_id, 960);
    this.frame.alt = hit.member ? nameOf(hit) : `${nameOf(hit)} at ${clock(hit.time_ms)}`;
  }

  // Why there is no video stays in sight while its frames are walked.
  tell(text) {
    this.note.textContent = `${this.why} ${text}`;
  }

  async step(by) {
    const hit = this.hit;
    try {
      const found = await this.frames.step(by);
      if (this.hit !== hit || this.plays) return;
      if (found) this.show(found);
      this.tell(found ? placeIn(found) : "There is no further frame.");
    } catch (error) {
      if (this.hit === hit) this.tell(error.message);
    }
  }

  key(event) {
    if (this.plays) return;
    if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === "ArrowRight") this.step(1);
  }
}

const placeIn = (hit) => hit.member ?? `Indexed frame at ${clock(hit.time_ms)}`;
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
