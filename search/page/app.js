// Starts the page: routes by the address's hash, takes dropped and pasted files, watches over the service.

import { ActivityView } from "./activityview.js";
import * as api from "./api.js";
import { ArchiveView } from "./archiveview.js";
import { loadConcepts } from "./concepts.js";
import { byId } from "./dom.js";
import { count } from "./format.js";
import { Keys } from "./keys.js";
import { Player } from "./player.js";
import { SearchView } from "./searchview.js";
import { startVeil } from "./veil.js";
import { WatchDialog } from "./watchdialog.js";
import { WatchesView } from "./watchesview.js";

const CALM_MS = 10_000;
const BUSY_MS = 2_000;
const FINDS_MS = 60_000; // news of watches, while they are not on screen

const app = {
  player: null,

  go(view, fields = {}) {
    const query = new URLSearchParams(fields).toString();
    const hash = `#/${view}${query ? `?${query}` : ""}`;
    if (location.hash !== hash) location.hash = hash;
    else route();
  },

  // Something in the archive is new or gone: bring what is on screen up to date.
  changed() {
    if (shown === "archive") views.archive.update();
    if (shown === "activity") views.activity.update();
    if (shown === "watches") views.watches.update();
    if (shown === "search") views.search.refresh();
    countFinds.at = 0;
    watch();
  },

  mayAdd: () => keys.scope !== "read",

  tellFinds(fresh) {
    const badge = byId("new-finds");
    badge.hidden = !fresh;
    badge.textContent = fresh > 99 ? "99+" : fresh || "";
    badge.setAttribute("aria-label", count(fresh, "new find"));
  },

  confirm(title, text, action) {
    const dialog = byId("confirm");
    byId("confirm-title").textContent = title;
    byId("confirm-text").textContent = text;
    byId("confirm-yes").textContent = action;
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  },
};

const watchDialog = new WatchDialog();
const views = {
  search: new SearchView(app, watchDialog),
  archive: new ArchiveView(app),
  watches: new WatchesView(app, watchDialog),
  activity: new ActivityView(app),
};
app.player = new Player((hit) => views.search.similar(hit));
const keys = new Keys(() => begin());
let shown = "";
let isDown = false;
let timer = 0;

function route() {
  if (location.hash && !location.hash.startsWith("#/")) return; // the skip link
  const [name, query] = location.hash.slice(2).split("?");
  const view = Object.hasOwn(views, name) ? name : "search";
  for (const other of Object.keys(views)) byId(`view-${other}`).hidden = other !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view[0].toUpperCase()}${view.slice(1)} · Hashreel`;
  if (shown && shown !== view) byId("main").focus({ preventScroll: true });
  shown = view;
  views[view].open(new URLSearchParams(query ?? ""));
}

async function watch() {
  clearTimeout(timer);
  let pause = isDown ? BUSY_MS : CALM_MS;
  if (!document.hidden) {
    try {
      const health = await api.health();
      tell(health);
      if (!health.ready) pause = BUSY_MS;
      if (shown === "activity") await views.activity.update();
      else views.activity.show((await api.jobs()).jobs);
      await (shown === "watches" ? views.watches.update() : countFinds());
      if (views.activity.followed || views.activity.evaluating) pause = BUSY_MS;
    } catch {
      // The connection's own event has put up the banner; the next turn tries again.
      pause = BUSY_MS;
    }
  }
  timer = setTimeout(watch, pause);
}

async function countFinds() {
  if (performance.now() < (countFinds.at ?? 0)) return;
  countFinds.at = performance.now() + FINDS_MS;
  const answer = await api.watches().catch(() => null); // a key need not see them
  if (answer) app.tellFinds(answer.watches.reduce((sum, one) => sum + one.new, 0));
}

function tell(health) {
  const lag = health.lag ? `, ${count(health.lag, "change")} behind` : "";
  byId("health").textContent = health.ready ? `${count(health.frames, "frame")}${lag}` : "not ready";
  byId("health").classList.toggle("ready", health.ready);
  if (health.frames && shown === "search" && views.search.isEmpty) views.search.refresh();
  banner(health.ready ? "" : `The service is not ready: ${health.detail || "the index is being loaded"}.`);
}

function banner(text) {
  const place = byId("banner");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

api.connection.addEventListener("down", () => {
  isDown = true;
  clearTimeout(timer);
  timer = setTimeout(watch, BUSY_MS);
  byId("health").textContent = "no connection";
  byId("health").classList.remove("ready");
  banner("The service does not answer. Is it running? Start it with: hashreel up. This page tries again by itself.");
});

api.connection.addEventListener("up", () => {
  if (!isDown) return;
  isDown = false;
  banner("");
  route();
});

// What a browser calls a video varies; Matroska often comes without a type.
const isVideo = (file) => file.type.startsWith("video/") || /\.(mkv|mp4|m4v|mov|webm|avi|ts|mpg|mpeg)$/i.test(file.name);

function take(files) {
  const clips = files.filter(isVideo);
  const picture = files.find((file) => file.type.startsWith("image/"));
  if (clips.length && !app.mayAdd()) app.go("activity");
  else if (clips.length) views.activity.add(clips);
  else if (picture) views.search.fromPicture(picture);
}

addEventListener("hashchange", route);
addEventListener("visibilitychange", () => document.hidden || watch());
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dragging"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  take([...event.dataTransfer.files]);
});
addEventListener("paste", (event) => {
  if (event.target.matches("input, textarea")) return;
  const text = event.clipboardData.getData("text").trim();
  const named = text.match(/^(frame:[0-9]+|code:[0-9a-f]+)$/i);
  if (event.clipboardData.files.length) take([...event.clipboardData.files]);
  else if (named) app.go("search", { [text.split(":")[0].toLowerCase()]: text.split(":")[1] });
});

async function begin() {
  await Promise.all([keys.start(), loadConcepts()]);
  views.search.loadConcepts();
  route();
  watch();
}

startVeil();
begin();
