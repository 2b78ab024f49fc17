// The query picture and the box that is drawn on it, with pointer or keyboard.

import { byId } from "./dom.js";

const SMALLEST = 0.02; // of the picture's side: less is a click, not a box
const STEP = 0.02;

export class QueryPicture {
  constructor(onBox) {
    this.onBox = onBox;
    this.box = null; // [x, y, width, height] in [0, 1]
    this.canvas = byId("canvas");
    this.handle = byId("box");
    this.canvas.addEventListener("pointerdown", (event) => this.begin(event));
    this.handle.addEventListener("keydown", (event) => this.key(event));
    byId("box-add").addEventListener("click", () => (this.box ? this.set(null) : this.add()));
  }

  show(address, caption, canBox) {
    this.canBox = canBox;
    byId("preview-picture").src = address;
    byId("preview-caption").textContent = caption;
    byId("box-add").hidden = !canBox;
    this.canvas.classList.toggle("drawable", canBox);
    byId("preview").hidden = false;
    byId("drop").hidden = true;
    this.place(null);
  }

  hide() {
    byId("preview-picture").removeAttribute("src");
    byId("preview").hidden = true;
    byId("drop").hidden = false;
    this.place(null);
  }

  add() {
    byId("preview").classList.add("large"); // where it is small, there is little to draw on
    this.set([0.25, 0.25, 0.5, 0.5]);
    this.handle.focus();
  }

  set(box) {
    this.place(box);
    this.onBox();
  }

  place(box) {
    this.box = box;
    this.handle.hidden = box === null;
    if (!box) byId("preview").classList.remove("large");
    byId("box-add").textContent = box ? "Whole picture" : "Search a part";
    if (!box) return;
    const [left, top, width, height] = box.map((part) => `${part * 100}%`);
    Object.assign(this.handle.style, { left, top, width, height });
  }

  begin(event) {
    if (!this.canBox || event.button !== 0) return;
    event.preventDefault();
    const start = this.point(event);
    const before = this.box;
    const moving = event.target === this.handle ? before : null;
    this.canvas.setPointerCapture(event.pointerId);
    const move = (next) => this.place(moving ? shifted(moving, start, this.point(next)) : between(start, this.point(next)));
    const end = (last) => {
      this.canvas.removeEventListener("pointermove", move);
      this.canvas.removeEventListener("pointerup", end);
      this.canvas.removeEventListener("pointercancel", end);
      if (last.type === "pointercancel") this.place(before);
      else if (this.box && Math.min(this.box[2], this.box[3]) < SMALLEST) this.place(before);
      else if (String(this.box) !== String(before)) this.onBox();
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
  }

  point(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [within((event.clientX - frame.left) / frame.width), within((event.clientY - frame.top) / frame.height)];
  }

  key(event) {
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.set(null);
      byId("box-add").focus();
      return;
    }
    const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y, width, height] = this.box;
    if (event.shiftKey) {
      const side = (value, room) => Math.min(Math.max(value, SMALLEST), room);
      this.place([x, y, side(width + step[0], 1 - x), side(height + step[1], 1 - y)]);
    } else {
      this.place(shifted(this.box, [0, 0], step));
    }
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.onBox(), 300);
  }
}

const within = (part) => Math.min(Math.max(part, 0), 1);

const between = ([ax, ay], [bx, by]) => [Math.min(ax, bx), Math.min(ay, by), Math.abs(ax - bx), Math.abs(ay - by)];

function shifted([x, y, width, height], [fromX, fromY], [toX, toY]) {
  const slide = (place, delta, side) => Math.min(Math.max(place + delta, 0), 1 - side);
  return [slide(x, toX - fromX, width), slide(y, toY - fromY, height), width, height];
}
