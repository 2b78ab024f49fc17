// Asks what is to be watched for, or what is to change of it.

import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { count } from "./format.js";

export const ANY = 256; // a distance that no code exceeds

export class WatchDialog {
  constructor() {
    this.dialog = byId("watch");
    byId("watch-form").addEventListener("submit", (event) => this.save(event));
    byId("watch-radius").addEventListener("input", () => this.tellReach());
    byId("watch-cancel").addEventListener("click", () => this.dialog.close());
    byId("watch-done").addEventListener("click", () => this.dialog.close());
    byId("watch-secret-copy").addEventListener("click", () => this.copy());
    this.dialog.addEventListener("close", () => (byId("watch-secret-text").textContent = ""));
  }

  // Resolves to the watch that was made, or to null. `wish` is what the search view knows: see its `watchable`.
  make(wish) {
    const { pictures, conditions, radius } = wish;
    this.wish = wish;
    this.send = async (form) => api.addWatch({ ...(await wish.request()), ...form });
    const examples = pictures.map((address) => element("li", { class: "frame" }, element("img", { src: address, alt: "" })));
    return this.open("Watch for this", conditions, "Watch", { radius }, examples);
  }

  // Resolves to the watch as it is now, or to null.
  change(watch) {
    this.wish = null;
    this.send = (form) => api.changeWatch(watch.id, form);
    return this.open("Change a watch", "A larger distance searches again what is stored; finds stay.", "Save", watch, []);
  }

  open(title, text, action, { name = "", radius, webhook = "" }, examples) {
    byId("watch-title").textContent = title;
    byId("watch-text").textContent = text;
    byId("watch-save").textContent = action;
    byId("watch-examples").replaceChildren(...examples);
    byId("watch-examples").hidden = !examples.length;
    Object.assign(byId("watch-name"), { value: name });
    byId("watch-radius").value = radius;
    byId("watch-near").hidden = byId("watch-radius").disabled = radius >= ANY;
    byId("watch-webhook").value = webhook;
    // The secret that signs what it gets is shown to whoever makes a watch with one, and never again.
    byId("watch-hook").hidden = !this.wish && !webhook;
    byId("watch-error").textContent = byId("watch-secret-note").textContent = "";
    byId("watch-form").hidden = false;
    byId("watch-secret").hidden = true;
    this.tellReach();
    this.done = null;
    this.dialog.showModal();
    byId("watch-name").focus();
    return new Promise((resolve) => this.dialog.addEventListener("close", () => resolve(this.done), { once: true }));
  }

  // What the distance means for what is on the screen.
  tellReach() {
    const distances = this.wish?.distances ?? [];
    const within = distances.filter((one) => one <= Number(byId("watch-radius").value)).length;
    byId("watch-reach").textContent = distances.length ? `${within} of the ${count(distances.length, "hit")} on this page ${within === 1 ? "is" : "are"} as near as that.` : "";
  }

  async save(event) {
    event.preventDefault();
    byId("watch-error").textContent = "";
    byId("watch-save").disabled = true;
    try {
      const radius = byId("watch-radius").disabled ? {} : { radius: Number(byId("watch-radius").value) };
      const form = { name: byId("watch-name").value.trim(), webhook: byId("watch-webhook").value.trim(), ...radius };
      this.done = await this.send(form);
      if (this.done.secret && form.webhook) this.showSecret(this.done.secret);
      else this.dialog.close();
    } catch (error) {
      byId("watch-error").textContent = error.message;
    } finally {
      byId("watch-save").disabled = false;
    }
  }

  showSecret(secret) {
    byId("watch-form").hidden = true;
    byId("watch-secret").hidden = false;
    byId("watch-secret-text").textContent = secret;
    byId("watch-secret").focus();
  }

  async copy() {
    const note = byId("watch-secret-note");
    await navigator.clipboard.writeText(byId("watch-secret-text").textContent).then(
      () => (note.textContent = "Copied."),
      () => (note.textContent = "This browser does not copy here: select the text."),
    );
  }
}
