// Plays a video from the moment of a hit; where the browser cannot, shows the indexed frames one by one.

import * as api from "./api.js";
import { byId } from "./dom.js";
import { clock, fileName } from "./format.js";

export class Player {
  constructor(onSimilar) {
    this.dialog = byId("player");
    this.video = byId("player-video");
    this.frame = byId("player-frame");
    this.note = byId("player-note");
    byId("player-close").addEventListener("click", () => this.dialog.close());
    byId("player-back").addEventListener("click", () => this.step(-1));
    byId("player-next").addEventListener("click", () => this.step(1));
    byId("player-similar").addEventListener("click", () => {
      this.dialog.close();
      onSimilar({ ...this.hit, frame_id: this.frameId });
    });
    this.dialog.addEventListener("close", () => this.stop());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    this.video.addEventListener("error", () => this.video.hasAttribute("src") && this.showFrames());
  }

  open(hit) {
    this.hit = hit;
    this.frameId = hit.frame_id;
    byId("player-title").textContent = fileName(hit.source);
    byId("player-title").title = hit.source;
    byId("player-folder").textContent = hit.source;
    this.note.textContent = `From ${clock(hit.time_ms)}`;
    this.setMode(true);
    this.video.poster = api.thumbnail(hit.frame_id, 960);
    this.video.src = api.source(hit.video, hit.time_ms);
    this.dialog.showModal();
    this.video.focus();
    // Refused where the browser wants a click of its own; the controls are there for that.
    this.video.play().catch(() => undefined);
  }

  stop() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.removeAttribute("poster");
    this.video.load();
    this.frame.removeAttribute("src");
  }

  setMode(plays) {
    this.video.hidden = !plays;
    this.frame.hidden = plays;
    byId("player-back").hidden = byId("player-next").hidden = plays;
  }

  async showFrames() {
    this.setMode(false);
    this.note.textContent = `This browser cannot play the file. Here is the indexed frame at ${clock(this.hit.time_ms)}.`;
    this.show(this.frameId);
    byId("player-next").focus();
    const hit = this.hit;
    const trouble = await api.sourceTrouble(hit.video);
    if (trouble && this.hit === hit && this.dialog.open) this.note.textContent = trouble;
  }

  show(frameId) {
    this.frame.src = api.thumbnail(frameId, 960);
    this.frame.alt = `Frame ${frameId} of ${fileName(this.hit.source)}`;
  }

  step(by) {
    const wanted = api.neighbour(this.frameId, by);
    const probe = new Image();
    probe.addEventListener("load", () => {
      this.frameId = wanted;
      this.note.textContent = `Frame ${wanted}`;
      this.show(wanted);
    });
    probe.addEventListener("error", () => (this.note.textContent = "There is no further frame here."));
    probe.src = api.thumbnail(wanted, 960);
  }

  key(event) {
    if (this.frame.hidden) return;
    if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === "ArrowRight") this.step(1);
  }
}
