// The search view: one query at a time, its filters, its hits.

import * as api from "./api.js";
import { searchClip } from "./clipquery.js";
import { names as conceptNames } from "./concepts.js";
import { button, byId, element, picture } from "./dom.js";
import { clock, count, fileName, folderOf, nameOf, parseClock, parseTags } from "./format.js";
import { walkByKeys } from "./gridkeys.js";
import { actOn, card, notes, summary, swatch } from "./hits.js";
import { Marks } from "./marks.js";
import { QueryPicture } from "./querypicture.js";
import { ANY } from "./watchdialog.js";

const LATEST_MS = 2 ** 32 - 1; // times of frames are 32-bit numbers
const MOST_EXAMPLES = 16; // of a watch
const LEFT_OUT = " The filter on one video, or a stretch of it, is not part of the watch.";

export class SearchView {
  constructor(app, watchDialog) {
    this.app = app;
    this.watchDialog = watchDialog;
    this.turn = 0;
    this.query = null; // {blob} or {frame} or {code} or {concept} or {clip}
    this.upload = null; // the user's own picture and its box, or clip, to come back to from a frame
    this.marks = new Marks(() => this.run());
    this.picture = new QueryPicture(() => {
      if (this.query?.blob) this.upload.box = this.picture.box;
      this.run();
    });
    byId("pick").addEventListener("change", (event) => {
      const [file] = event.target.files;
      event.target.value = "";
      if (file) this.fromPicture(file);
      this.isPicked = Boolean(file);
    });
    byId("pick-clip").addEventListener("change", (event) => {
      const [file] = event.target.files;
      event.target.value = "";
      if (file) this.fromUpload({ clip: file });
    });
    walkByKeys(byId("hits"));
    actOn(byId("hits"), {
      play: (hit) => this.app.player.open(hit),
      similar: (hit) => this.similar(hit),
      mark: (hit, kind) => this.marks.set(hit, kind),
    });
    byId("watch-this").addEventListener("click", () => this.watch());
    byId("filters").open = !matchMedia("(max-width: 60rem)").matches;
    byId("query-clear").addEventListener("click", () => this.clear());
    const form = byId("query-form");
    form.addEventListener("submit", (event) => event.preventDefault());
    byId("filter-video").addEventListener("change", () => (byId("filter-between").hidden = !byId("filter-video").value));
    // A number that was typed before the query was chosen is reported only when its field is left: it is no news then,
    // and answering it would take the button that was pressed from under the pointer.
    form.addEventListener("change", (event) => event.target.type !== "file" && this.isNews() && this.run());
  }

  async open(fields) {
    const turn = ++this.turn; // the page may move on while the videos are looked up
    await this.loadVideos(fields.get("video"));
    if (turn !== this.turn) return;
    if (fields.get("frame")) await this.fromFrame(fields.get("frame"));
    else if (fields.get("code")) this.fromCode(fields.get("code"));
    else if (fields.get("concept")) await this.fromConcept(fields.get("concept"));
    else if (this.upload) await this.restore();
    else this.welcome();
  }

  fromPicture(blob) {
    performance.mark("query");
    this.fromUpload({ blob, address: URL.createObjectURL(blob), box: null });
  }

  fromUpload(upload) {
    this.marks.clear();
    this.forget();
    this.upload = upload;
    this.app.go("search");
  }

  forget() {
    if (this.upload?.address) URL.revokeObjectURL(this.upload.address);
    this.upload = null;
  }

  async restore() {
    const { blob, address, box, clip } = this.upload;
    if (clip) return this.fromClip(clip);
    this.query = { blob };
    this.picture.show(address, blob.name ?? "Pasted picture", true);
    this.picture.place(box);
    await this.run();
  }

  async fromFrame(frame) {
    this.query = { frame };
    const caption = this.known?.frame_id === frame ? titleOf(this.known) : `Frame ${frame}`;
    this.picture.show(api.thumbnail(frame, 480), caption, false);
    await this.run();
  }

  fromCode(code) {
    this.marks.clear();
    this.query = { code };
    this.picture.hide();
    this.run();
  }

  fromClip(clip) {
    this.query = { clip };
    this.picture.hide();
    return this.run();
  }

  async fromConcept(concept) {
    this.marks.clear();
    this.query = { concept };
    this.picture.hide();
    byId("filter-concept").value = concept;
    await this.run();
  }

  similar(hit) {
    this.marks.clear();
    this.known = hit;
    this.app.go("search", { frame: hit.frame_id });
    window.scrollTo({ top: 0 });
    byId("query-clear").focus({ preventScroll: true });
  }

  clear() {
    this.pending?.abort();
    this.marks.clear();
    byId("filter-concept").value = "";
    this.forget();
    this.query = null;
    this.picture.hide();
    this.app.go("search");
    byId("pick").focus();
  }

  options() {
    const options = { top: Number(byId("filter-top").value) || 24 };
    const { more, less } = this.marks;
    if (more.length) options.more = more;
    if (less.length) options.less = less;
    // Marked frames change the order of everything, and concepts alone have no distance.
    const hasDistance = !more.length && !less.length && !this.query?.concept;
    if (hasDistance && byId("filter-radius").value !== "") options.radius = Number(byId("filter-radius").value);
    if (byId("filter-video").value) {
      options.videos = [Number(byId("filter-video").value)];
      const between = [parseClock(byId("filter-from").value) ?? 0, parseClock(byId("filter-until").value) ?? LATEST_MS];
      if (between[0] || between[1] !== LATEST_MS) options.between = between;
    }
    const tags = parseTags(byId("filter-tag").value);
    if (Object.keys(tags).length) options.tags = tags;
    const concept = byId("filter-concept").value;
    if (concept) options.concepts = [concept];
    if (byId("filter-group").checked) options.group_by = "video";
    return options;
  }

  isNews() {
    const wish = this.wish();
    return wish === null || wish !== this.asked;
  }

  // The filters as text; null if they cannot be understood.
  wish() {
    try {
      return JSON.stringify(this.options());
    } catch {
      return null;
    }
  }

  async run() {
    if (this.query?.concept && byId("filter-concept").value !== this.query.concept) {
      const concept = byId("filter-concept").value;
      this.app.go("search", concept ? { concept } : {});
      return;
    }
    if (!this.query) {
      // No query but a concept: browse by it.
      if (byId("filter-concept").value) this.app.go("search", { concept: byId("filter-concept").value });
      return;
    }
    this.pending?.abort();
    const turn = new AbortController();
    this.pending = turn;
    this.asked = this.wish();
    const begin = performance.now();
    byId("welcome").hidden = true;
    byId("watch-note").replaceChildren();
    this.isEmpty = false;
    byId("results-title").textContent = titleFor(this.query);
    byId("hits").setAttribute("aria-busy", "true");
    this.say("Searching …");
    try {
      const answer = await this.ask(turn.signal);
      if (turn === this.pending) this.show(answer, performance.now() - begin);
    } catch (error) {
      if (error.name !== "AbortError" && turn === this.pending) this.refuse(error);
    } finally {
      if (turn === this.pending) byId("hits").removeAttribute("aria-busy");
    }
  }

  ask(signal) {
    const options = this.options();
    if (this.query.concept) return api.search({ query: {}, ...options }, signal);
    if (this.query.clip) return searchClip(this.query.clip, options, signal);
    if (!this.query.blob) return api.search({ query: this.query, ...options }, signal);
    const fields = { top: options.top };
    if (options.radius !== undefined) fields.radius = options.radius;
    if (options.group_by) fields.group_by = options.group_by;
    if (options.videos) fields.video = options.videos[0];
    if (options.between) fields.between = options.between.join(",");
    const tags = Object.entries(options.tags ?? {}).map(([key, value]) => ["tag", `${key}=${value}`]);
    for (const name of ["more", "less"]) tags.push(...(options[name] ?? []).map((frame) => [name, frame]));
    if (options.concepts) fields.concept = options.concepts[0];
    if (this.picture.box) fields.box = this.picture.box.map((part) => part.toFixed(5)).join(",");
    return api.searchPicture(this.query.blob, [...Object.entries(fields), ...tags], signal);
  }

  show(answer, milliseconds) {
    const byArea = Boolean(this.query.concept) && !this.marks.size;
    const cards = answer.hits.map((hit) => card({ ...hit, byArea }, answer.bits, this.marks.of(hit.frame_id)));
    const focused = document.activeElement?.closest("#hits > li")?.dataset.frame;
    byId("hits").replaceChildren(...cards);
    markFirstRow(cards);
    this.answer = answer;
    byId("watch-this").hidden = !this.app.mayAdd() || Boolean(this.query.clip) || !(answer.hits.length || !this.query.concept);
    this.focusOn(focused, cards);
    byId("search-notes").replaceChildren(...notes(answer), ...(answer.hits.length ? [] : [this.nothing()]));
    const own = answer.hits.find((hit) => hit.frame_id === this.query.frame);
    if (own) byId("preview-caption").textContent = titleOf(own);
    this.say(summary(answer, milliseconds, Boolean(this.query.concept)));
  }

  // Whoever was in the hits stays there; whoever chose a picture, and lost the chooser by that, comes to them.
  focusOn(frame, cards) {
    const isLost = this.isPicked && [document.body, byId("main")].includes(document.activeElement);
    this.isPicked = false;
    if (!cards.length || !(frame || isLost)) return;
    const card = cards.find((one) => one.dataset.frame === frame) ?? cards[0];
    card.querySelector(".frame").focus({ preventScroll: true });
  }

  // What to do where nothing was found, by what narrowed the search.
  nothing() {
    if (this.query.clip) return element("div", { class: "empty" }, element("h3", {}, "Nothing found"), element("p", {}, "No stretch of an indexed video that passes the filters matches this clip."));
    const radius = byId("filter-radius").value;
    if (radius !== "" && this.options().radius !== undefined) {
      const widen = button("Search at any distance", () => {
        byId("filter-radius").value = "";
        this.run();
      });
      return element("div", { class: "empty" }, element("h3", {}, `Nothing within distance ${radius}`), element("p", {}, "No frame is as near to this picture as that."), element("p", {}, widen));
    }
    return element("div", { class: "empty" }, element("h3", {}, "Nothing found"), element("p", {}, "No frame passes these filters. Take one away to see more."));
  }

  loadConcepts() {
    const select = byId("filter-concept");
    const chosen = select.value;
    byId("filter-concept-label").hidden = !conceptNames.length;
    select.replaceChildren(element("option", { value: "" }, "Anything"), ...conceptNames.map((name) => element("option", { value: name }, name)));
    select.value = conceptNames.includes(chosen) ? chosen : "";
  }

  // What a watch for the present query needs: its request, and what to tell of it.
  watchable() {
    const { query } = this;
    const { tags, concepts, videos } = this.options();
    // Concepts alone are nothing to watch for: any of their frames is, at any distance.
    const first = query.concept ? { frame: this.answer.hits[0].frame_id } : query;
    const marked = this.marks.more.filter((frame) => frame !== first.frame).slice(0, MOST_EXAMPLES - 1);
    const thumbnails = [first.frame, ...marked].filter(Boolean).map((frame) => api.thumbnail(frame));
    const conditions = [tags && `videos with ${byId("filter-tag").value.trim()}`, concepts && `frames in which the model sees ${concepts.join(", ")}`].filter(Boolean);
    return {
      request: async () => ({ queries: [await this.asQuery(first), ...marked.map((frame) => ({ frame }))], tags, concepts, ...(query.concept ? { radius: ANY } : {}) }),
      pictures: query.blob ? [this.upload.address, ...thumbnails] : thumbnails,
      conditions: (conditions.length ? `Only ${conditions.join(", and ")}.` : "In all that is stored, and in whatever is indexed from now on.") + (videos ? LEFT_OUT : ""),
      radius: query.concept ? ANY : byId("filter-radius").value || 4,
      distances: query.concept ? [] : this.answer.hits.map((hit) => hit.distance),
    };
  }

  async asQuery({ blob, frame, code }) {
    if (!blob) return frame ? { frame } : { code };
    return { image: await base64(blob), ...(this.picture.box ? { box: this.picture.box } : {}) };
  }

  async watch() {
    const made = await this.watchDialog.make(this.watchable());
    if (!made) return;
    this.app.changed();
    const words = made.hits ? `${count(made.hits, "find")} so far.` : "Nothing found so far.";
    byId("watch-note").replaceChildren(element("p", { class: "note good" }, `Watching for ${made.name || "this"}. ${words} `, element("a", { href: "#/watches" }, "Show watches")));
  }

  refuse(error) {
    this.asked = null; // whatever changes next is worth a try
    byId("watch-this").hidden = true;
    byId("hits").replaceChildren();
    byId("search-notes").replaceChildren(element("p", { class: "note error" }, error.message));
    this.say("");
  }

  say(text) {
    byId("search-status").textContent = text;
  }

  async loadVideos(chosen) {
    const select = byId("filter-video");
    const wanted = chosen ?? select.value;
    const page = await api.videos({ limit: 200 }).catch(() => null);
    if (!page) return;
    this.newest = page;
    const shown = page.videos.filter((video) => video.frames > 0 || String(video.id) === wanted);
    if (wanted && !shown.some((video) => String(video.id) === wanted)) {
      await api.video(wanted).then((video) => shown.push(video), () => undefined);
    }
    const options = shown.map((video) => element("option", { value: video.id }, fileName(video.source)));
    select.replaceChildren(element("option", { value: "" }, "All videos"), ...options);
    select.value = shown.some((video) => String(video.id) === wanted) ? wanted : "";
    byId("filter-between").hidden = !select.value;
  }

  async refresh() {
    await this.loadVideos();
    if (!this.query) this.welcome();
  }

  welcome() {
    this.query = null;
    this.picture.hide();
    byId("hits").replaceChildren();
    byId("search-notes").replaceChildren();
    byId("watch-note").replaceChildren();
    byId("watch-this").hidden = true;
    const place = byId("welcome");
    if (!this.newest) {
      place.hidden = true;
      return;
    }
    place.hidden = false;
    const indexed = this.newest.videos.filter((video) => video.frames > 0);
    this.isEmpty = !indexed.length;
    byId("results-title").textContent = indexed.length ? "Newest videos" : "Welcome";
    this.say("");
    place.replaceChildren(...(indexed.length ? this.starters(indexed) : emptyArchive(this.newest.total, this.app.mayAdd())));
  }

  starters(videos) {
    const cards = videos.slice(0, 12).map((video) => {
      // The middle of the first chunk: first frames are often black.
      const frame = api.frameOf(video.id, Math.floor(video.frames / Math.max(video.chunks, 1) / 2));
      const start = button("", () => this.app.go("search", { frame }), {
        class: "frame",
        "aria-label": `Search with a frame of ${fileName(video.source)}`,
      });
      start.append(picture(api.thumbnail(frame)));
      return element(
        "li",
        { class: "hit" },
        element("div", { class: "shot" }, start),
        element("p", { class: "name", title: video.source }, fileName(video.source)),
        element("p", { class: "folder", title: video.source }, folderOf(video.source)),
      );
    });
    const browse = conceptNames.map((name) => element("li", {}, element("a", { href: `#/search?${new URLSearchParams({ concept: name })}` }, swatch(name), name)));
    return [
      element("p", {}, "Drop or paste a picture anywhere on this page to find the moments that look like it, or start from a frame of the newest videos."),
      browse.length ? element("nav", { class: "browse", "aria-label": "Browse by what the model sees" }, element("span", {}, "Browse by what the model sees"), element("ul", {}, ...browse)) : "",
      element("ul", { class: "hits", "aria-label": `Frames of ${count(cards.length, "video")}` }, ...cards),
    ];
  }
}

// Tells when the thumbnails of the first row are on screen, by the browser's own clock.
async function markFirstRow(cards) {
  performance.mark("hits");
  const first = cards.filter((one) => one.offsetTop === cards[0].offsetTop).map((one) => one.querySelector("img"));
  await Promise.all(first.map((image) => new Promise((resolve) => ["load", "error"].forEach((name) => image.addEventListener(name, resolve, { once: true })))));
  performance.mark("first-row");
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(new Error("The picture can no longer be read. Choose it again.")));
    reader.readAsDataURL(blob);
  });
}

function titleFor({ concept, clip }) {
  if (clip) return `Where ${clip.name} was taken from`;
  return concept ? `Frames with ${concept}` : "Results";
}

const titleOf = (hit) => (hit.member ? nameOf(hit) : `${nameOf(hit)} at ${clock(hit.time_ms)}`);

function emptyArchive(total, mayAdd) {
  const waiting = total ? `${count(total, "video")} on the way: see Activity.` : "There is nothing to search yet.";
  return [
    element(
      "div",
      { class: "empty" },
      element("h3", {}, total ? "The first frames are being indexed" : "The archive is empty"),
      element("p", {}, waiting),
      ...(mayAdd ? waysToAdd() : [element("p", {}, 'This key may only search. Whoever holds one with the scope "write" can add video.')]),
    ),
  ];
}

function waysToAdd() {
  return [
    element("p", {}, "Drop a video file anywhere on this page to upload and index it."),
    element("p", {}, button("Choose video files", () => byId("pick-video").click(), { class: "primary" })),
    element(
      "ul",
      {},
      element("li", {}, "Files on the server are named under ", element("a", { href: "#/activity" }, "Activity"), "."),
      element("li", {}, "In a terminal: ", element("code", {}, "hashreel enqueue archive/*.mp4")),
    ),
  ];
}
