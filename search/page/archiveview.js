// The archive view: every video, its state, its tags, and what can be done with it.

import * as api from "./api.js";
import { button, byId, element, picture, refresh } from "./dom.js";
import { clock, count, fileName, folderOf, length, parseTags, when } from "./format.js";

const PAGE = 50;

export class ArchiveView {
  constructor(app) {
    this.app = app;
    this.loaded = PAGE;
    this.turn = 0;
    byId("archive-filter").addEventListener("submit", (event) => event.preventDefault());
    byId("archive-filter").addEventListener("change", () => {
      this.loaded = PAGE;
      this.update();
    });
    byId("videos-more").addEventListener("click", () => {
      this.loaded += PAGE;
      this.update();
    });
    byId("tags-cancel").addEventListener("click", () => byId("tags").close());
    byId("tags-form").addEventListener("submit", (event) => this.saveTags(event));
  }

  open() {
    return this.update();
  }

  async update() {
    const turn = ++this.turn; // an answer that comes after a newer one is dropped
    try {
      const [tag] = Object.entries(parseTags(byId("archive-tag").value));
      const fields = { state: byId("archive-state").value, tag: tag && `${tag[0]}=${tag[1]}` };
      const page = await api.videos({ ...fields, limit: Math.min(this.loaded, 1000) });
      if (turn !== this.turn) return;
      refresh(byId("videos"), page.videos, (video) => video.id, (video) => this.row(video));
      byId("videos-more").hidden = page.next === null || page.next === undefined;
      byId("archive-status").textContent = status(page, Boolean(fields.state || fields.tag));
    } catch (error) {
      byId("archive-status").textContent = error.message;
    }
  }

  row(video) {
    const name = fileName(video.source);
    const frame = api.frameOf(video.id, Math.floor(video.frames / Math.max(video.chunks, 1) / 2));
    const indexed = video.frames > 0;
    const play = button("", () => this.app.player.open({ video: video.id, source: video.source, time_ms: 0, frame_id: api.frameOf(video.id, 0), whole: true }), {
      class: "frame",
      "aria-label": `Play ${name}`,
    });
    play.append(indexed ? picture(api.thumbnail(frame)) : element("span", { class: "no-picture" }, "no frames"));
    return element(
      "li",
      { class: "video" },
      play,
      element(
        "div",
        { class: "about" },
        element("h2", { class: "name", title: video.source }, name),
        element("p", { class: "folder", title: video.source }, folderOf(video.source)),
        element("p", { class: "quiet" }, facts(video)),
        tagList(video.tags),
        ...video.warnings.map((warning) => element("p", { class: "warning" }, warningText(warning))),
        video.reason ? element("p", { class: "warning" }, video.reason) : null,
      ),
      element("span", { class: `state ${video.state}` }, stateText(video)),
      element(
        "div",
        { class: "buttons" },
        indexed ? button("Search in it", () => this.app.go("search", { video: video.id }), { "aria-label": `Search in ${name}` }) : null,
        button("Tags", () => this.editTags(video), { "aria-label": `Edit tags of ${name}` }),
        button("Delete", () => this.remove(video), { "aria-label": `Delete ${name}` }),
      ),
    );
  }

  editTags(video) {
    this.edited = video;
    byId("tags-source").textContent = video.source;
    byId("tags-text").value = Object.entries(video.tags).map(([key, value]) => `${key}=${value}`).join("\n");
    byId("tags-error").textContent = "";
    byId("tags").showModal();
  }

  async saveTags(event) {
    event.preventDefault();
    try {
      const tags = parseTags(byId("tags-text").value);
      const removed = Object.keys(this.edited.tags).filter((key) => !(key in tags));
      await api.setTags(this.edited.id, { ...Object.fromEntries(removed.map((key) => [key, ""])), ...tags });
      byId("tags").close();
      await this.update();
    } catch (error) {
      byId("tags-error").textContent = error.message;
    }
  }

  async remove(video) {
    const sure = await this.app.confirm(
      `Delete ${fileName(video.source)}?`,
      `Its ${count(video.frames, "frame")} will no longer be found. The file itself stays where it is.`,
      "Delete",
    );
    if (!sure) return;
    await api.deleteVideo(video.id).catch((error) => (byId("archive-status").textContent = error.message));
    await this.update();
  }
}

function status(page, isFiltered) {
  if (!page.total) return "No video here. Drop a video file on this page to add one.";
  if (!isFiltered) return count(page.total, "video");
  return `${page.videos.length.toLocaleString("en")}${page.next ? " or more" : ""} of this kind`;
}

function facts(video) {
  const parts = [
    count(video.frames, video.kind === "pictures" ? "picture" : "frame"),
    video.duration_s ? length(video.duration_s) : "",
    video.width ? `${video.width}×${video.height}` : "",
    when(video.added_at),
  ];
  return parts.filter(Boolean).join(" · ");
}

function stateText(video) {
  if (video.state !== "encoding" || !video.chunks) return video.state;
  return `encoding ${Math.floor((100 * video.chunks_done) / video.chunks)} %`;
}

function tagList(tags) {
  const items = Object.entries(tags).map(([key, value]) => element("li", {}, `${key}=${value}`));
  return items.length ? element("ul", { class: "tags", "aria-label": "Tags" }, ...items) : null;
}

function warningText(warning) {
  const place = warning.at_ms === null || warning.at_ms === undefined ? "" : ` at ${clock(warning.at_ms)}`;
  return `${warning.stage}${place}: ${warning.reason}`;
}
