// Asks for an API key where the service wants one. It is kept for this tab only, to sign in again when a session ends.

import * as api from "./api.js";
import { byId } from "./dom.js";

const KEY = "hashreel.key";

export class Keys {
  constructor(onSignedIn) {
    this.onSignedIn = onSignedIn;
    this.busy = false;
    this.scope = "admin";
    api.connection.addEventListener("denied", () => this.denied());
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.enter(byId("key-text").value.trim());
    });
    byId("key-change").addEventListener("click", () => this.leave());
  }

  async start() {
    const session = await api.session().catch(() => null);
    if (session) this.show(session);
  }

  // A session that has ended is opened again with the key of this tab, once.
  async denied() {
    if (this.busy || byId("key").open) return;
    const kept = sessionStorage.getItem(KEY);
    if (kept) await this.enter(kept);
    else byId("key").showModal();
  }

  async enter(key) {
    this.busy = true;
    try {
      const session = await api.signIn(key);
      sessionStorage.setItem(KEY, key);
      byId("key-text").value = "";
      byId("key-error").textContent = "";
      byId("key").close();
      this.show(session);
      this.onSignedIn();
    } catch (error) {
      sessionStorage.removeItem(KEY);
      byId("key-error").textContent = error.message;
      if (!byId("key").open) byId("key").showModal();
    } finally {
      this.busy = false;
    }
  }

  async leave() {
    sessionStorage.removeItem(KEY);
    await api.signOut().catch(() => undefined);
    location.reload();
  }

  show(session) {
    this.scope = session.scope;
    byId("key-change").hidden = !session.needs_key || !session.key;
    byId("key-change").title = `Signed in as ${session.name}`;
    const reads = session.scope === "read";
    byId("add-refused").hidden = byId("watch-refused").hidden = !reads;
    for (const control of document.querySelectorAll("#enqueue-form :is(input, select, textarea, button), #pick-video")) control.disabled = reads;
    if (!reads) byId("enqueue-policy").dispatchEvent(new Event("change"));
  }
}
