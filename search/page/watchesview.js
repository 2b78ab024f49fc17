// The watches view: what is watched for, what each watch has found, and what is said of that.

import * as api from "./api.js";
import { button, byId, element, picture, refresh } from "./dom.js";
import { clock, count, nameOf, pathOf, when } from "./format.js";
import { ANY } from "./watchdialog.js";

const PAGE = 20; // watches
const FINDS = 12; // of one watch

export class WatchesView {
  constructor(app, dialog) {
    this.app = app;
    this.dialog = dialog;
    this.turn = 0;
    this.loaded = PAGE;
    this.rows = new Map(); // id -> row
    byId("watches-state").addEventListener("change", () => this.update());
    byId("watches-more").addEventListener("click", () => {
      this.loaded += PAGE;
      this.update();
    });
  }

  open() {
    this.order = null;
    return this.update();
  }

  async update() {
    const turn = ++this.turn; // an answer that comes after a newer one is dropped
    try {
      const { watches } = await api.watches();
      const shown = this.inOrder(watches).slice(0, this.loaded);
      const finds = await Promise.all(shown.map((watch) => this.findsOf(watch)));
      if (turn === this.turn) this.show(watches, shown, finds);
    } catch (error) {
      if (turn === this.turn) byId("watches-status").textContent = error.message;
    }
  }

  // Watches with news first, then the newest; and so they stay while one works on them.
  inOrder(watches) {
    const newest = [...watches].reverse();
    this.order ??= newest.sort((a, b) => Boolean(b.new) - Boolean(a.new)).map((watch) => watch.id);
    const place = (watch) => this.order.indexOf(watch.id); // -1: it was made meanwhile
    return newest.sort((a, b) => place(a) - place(b));
  }

  // New ones first, then those that somebody has looked at.
  async findsOf(watch) {
    if (!watch.hits) return { hits: [], hasMore: false };
    const limit = this.rows.get(watch.id)?.limit ?? FINDS;
    const state = byId("watches-state").value;
    const { hits, next } = await api.finds(watch.id, { state: state || "new", limit });
    if (state || next) return { hits, hasMore: Boolean(next) };
    if (hits.length === limit) return { hits, hasMore: watch.hits > limit };
    const rest = await api.finds(watch.id, { state: "acknowledged", limit: limit - hits.length });
    return { hits: [...hits, ...rest.hits], hasMore: Boolean(rest.next) };
  }

  show(watches, shown, finds) {
    const fresh = watches.reduce((sum, watch) => sum + watch.new, 0);
    this.app.tellFinds(fresh);
    const facts = watches.length ? [count(watches.length, "watch", "watches"), fresh ? `${fresh.toLocaleString("en")} new` : "nothing new"] : [];
    const words = facts.join(" · ");
    if (byId("watches-status").textContent !== words) byId("watches-status").textContent = words;
    byId("watches-empty").hidden = watches.length > 0;
    byId("watches-filter").hidden = !watches.length;
    if (!watches.length) byId("watches-empty").replaceChildren(nothing(this.app.mayAdd()));
    byId("watches-more").hidden = shown.length === watches.length;
    const rows = new Map(shown.map((watch) => [watch.id, this.rows.get(watch.id) ?? new Row(this)]));
    shown.forEach((watch, index) => rows.get(watch.id).show(watch, finds[index]));
    this.rows = rows;
    const nodes = [...rows.values()].map((row) => row.node);
    const list = byId("watches");
    if (nodes.length !== list.children.length || nodes.some((node, index) => node !== list.children[index])) list.replaceChildren(...nodes);
  }
}

// One watch. It stays in the page while it is brought up to date, so that focus and pictures stay, too.
class Row {
  constructor(view) {
    this.view = view;
    this.app = view.app;
    this.limit = FINDS;
    this.head = element("div", { class: "watch-head" });
    this.list = element("ul", { class: "hits finds" });
    this.foot = element("div", { class: "buttons" });
    this.trouble = element("p", { class: "error", role: "alert" });
    this.note = element("p", { class: "quiet", role: "status" });
    this.node = element("li", { class: "watch panel" }, this.head, this.list, this.foot, this.trouble, this.note);
  }

  show(watch, { hits, hasMore }) {
    this.watch = watch;
    this.title = watch.name || `Watch ${watch.id}`;
    refresh(this.head, [{ ...watch, mayAdd: this.app.mayAdd() }], (one) => one.id, (one) => this.about(one));
    refresh(this.list, hits, (hit) => hit.frame_id, (hit) => this.find(hit));
    this.list.hidden = !hits.length;
    this.list.setAttribute("aria-label", `Finds of ${this.title}`);
    const fresh = hits.filter((hit) => hit.state === "new");
    refresh(this.foot, this.waysOn(fresh, hasMore), (way) => way.text, ({ text, run, label }) => button(text, run, { "aria-label": label }));
  }

  waysOn(fresh, hasMore) {
    const ways = [];
    if (fresh.length > 1 && this.app.mayAdd()) {
      ways.push({ text: `Acknowledge ${fresh.length} new`, label: `Acknowledge ${fresh.length} new finds of ${this.title}`, run: () => this.mark(fresh, "acknowledged") });
    }
    if (hasMore) ways.push({ text: "Show more", label: `Show more finds of ${this.title}`, run: () => this.more() });
    return ways;
  }

  about(watch) {
    const examples = Array.from({ length: watch.examples }, (_, number) => element("li", { class: "frame" }, picture(api.watchPicture(watch.id, number))));
    const ways = [
      watch.webhook ? button("Test webhook", () => this.test(), { "aria-label": `Test the webhook of ${this.title}` }) : null,
      button(watch.paused ? "Go on" : "Pause", () => this.pause(!watch.paused), { "aria-label": `${watch.paused ? "Go on with" : "Pause"} ${this.title}` }),
      button("Change", () => this.change(), { "aria-label": `Change ${this.title}` }),
      button("Delete", () => this.remove(), { "aria-label": `Delete ${this.title}` }),
    ];
    return element(
      "div",
      { class: "watch-about" },
      element("ul", { class: "examples", "aria-label": `Examples of ${this.title}` }, ...examples),
      element(
        "div",
        { class: "about" },
        element("h2", { class: "name", title: this.title, tabindex: "-1" }, this.title),
        element("p", { class: "quiet" }, factsOf(watch)),
        ...conditionsOf(watch).map((text) => element("p", { class: "quiet" }, text)),
        ...troublesOf(watch).map((text) => element("p", { class: "warning" }, text)),
      ),
      watch.paused ? element("span", { class: "state" }, "paused") : null,
      watch.new ? element("span", { class: "count" }, `${watch.new.toLocaleString("en")} new`) : null,
      element("div", { class: "buttons" }, ...(this.app.mayAdd() ? ways : [])),
    );
  }

  find(hit) {
    const what = `${nameOf(hit)} at ${clock(hit.time_ms)}`;
    const isNew = hit.state === "new";
    const play = button("", () => this.app.player.open(hit), { class: "frame", "aria-label": `Play ${what}${isNew ? ", new" : ""}` });
    play.append(picture(api.thumbnail(hit.frame_id)), element("span", { class: "time", "aria-hidden": "true" }, clock(hit.time_ms)));
    if (isNew) play.append(element("span", { class: "fresh", "aria-hidden": "true" }, "New"));
    const say = (text, state) => button(text, () => this.mark([hit], state), { "aria-label": `${text} ${what}` });
    const ways = [
      isNew ? say("Acknowledge", "acknowledged") : null,
      hit.state === "dismissed" ? say("Take back", "new") : say("Dismiss", "dismissed"),
    ];
    return element(
      "li",
      { class: `hit find ${hit.state}` },
      element("div", { class: "shot" }, play),
      element("p", { class: "name", title: pathOf(hit) }, nameOf(hit)),
      element("p", { class: "folder", title: markOf(hit) }, `distance ${hit.distance} · ${when(hit.found_at)}`),
      element(
        "div",
        { class: "find-ways" },
        ...(this.app.mayAdd() ? ways : []),
        element("a", { href: `#/search?frame=${hit.frame_id}`, "aria-label": `Search with ${what}` }, "Search"),
      ),
    );
  }

  // What is refused is said in the row; the rest of the page goes on.
  async attempt(action) {
    this.trouble.textContent = this.note.textContent = "";
    try {
      return await action();
    } catch (error) {
      this.trouble.textContent = error.message;
      return null;
    }
  }

  async mark(hits, state) {
    const place = [...this.list.children].findIndex((item) => item.contains(document.activeElement));
    await this.attempt(() => api.markFinds(this.watch.id, hits.map((hit) => hit.frame_id), state));
    await this.view.update();
    requestAnimationFrame(() => this.goOn(place));
  }

  // The find that was spoken of has left its place: the next one is there.
  goOn(place) {
    const next = this.list.children[Math.min(place, this.list.children.length - 1)];
    if (place >= 0 && next) next.querySelector(".frame").focus({ preventScroll: true });
    else if (document.activeElement === document.body) this.head.querySelector("h2").focus({ preventScroll: true });
  }

  more() {
    this.limit = Math.min(this.limit + 2 * FINDS, 1000);
    return this.view.update();
  }

  async change() {
    if (await this.view.dialog.change(this.watch)) await this.view.update();
  }

  async pause(paused) {
    await this.attempt(() => api.changeWatch(this.watch.id, { paused }));
    await this.view.update();
  }

  async test() {
    const sent = await this.attempt(() => api.testWebhook(this.watch.id));
    if (sent?.state === "delivered") this.note.textContent = `The webhook answered ${sent.status}.`;
    else if (sent) this.trouble.textContent = `The webhook did not take it: ${sent.reason}`;
  }

  async remove() {
    const kept = this.watch.hits ? `Its ${count(this.watch.hits, "find")} and what was said of them go, too.` : "It has found nothing so far.";
    if (!(await this.app.confirm(`Delete ${this.title}?`, `${kept} Videos stay.`, "Delete"))) return;
    await this.attempt(() => api.removeWatch(this.watch.id));
    await this.view.update();
    if (!this.node.isConnected) byId("main").focus({ preventScroll: true });
  }
}

function factsOf(watch) {
  const reach = watch.radius >= ANY ? "at any distance" : `up to distance ${watch.radius}`;
  const found = watch.hits ? count(watch.hits, "find") : "nothing found yet";
  return [count(watch.examples, "example"), reach, found, `since ${when(watch.created_at)}`].join(" · ");
}

function conditionsOf(watch) {
  const tags = Object.entries(watch.tags).map(([name, values]) => `${name}=${values.join(" or ")}`);
  const texts = [];
  if (tags.length) texts.push(`Only videos with ${tags.join(", ")}`);
  if (watch.concepts.length) texts.push(`Only where the model sees ${watch.concepts.join(", ")}`);
  if (watch.between) texts.push(`Only from ${clock(watch.between[0])} to ${clock(watch.between[1])}`);
  if (watch.webhook) texts.push(`Finds are sent to ${watch.webhook}`);
  if (watch.note) texts.push(watch.note);
  return texts;
}

function troublesOf(watch) {
  const texts = [];
  if (watch.problem) texts.push(watch.problem);
  if (!watch.searched) texts.push("What was stored before is still being searched.");
  if (watch.lost) texts.push(`At least ${count(watch.lost, "further find")} could not be kept. A smaller distance helps.`);
  if (watch.dead) texts.push(`${count(watch.dead, "message")} to the webhook were given up.`);
  return texts;
}

const markOf = (hit) => (hit.marked_by ? `${hit.state} by ${hit.marked_by}, ${when(hit.marked_at)}` : "");

function nothing(mayAdd) {
  const how = "Search for something, then choose “Watch for this” above the hits. Whatever is indexed from then on is compared with it, and what is stored is searched, too.";
  const children = [element("h3", {}, "Nothing is watched for yet")];
  if (mayAdd) children.push(element("p", {}, how), element("p", {}, element("a", { href: "#/search" }, "Go to the search")));
  return element("div", { class: "empty" }, ...children);
}
