// What the collection's model can see: names, and the colours in which masks show them.

import * as api from "./api.js";

export const names = [];

export async function loadConcepts() {
  const answer = await api.collections().catch(() => null);
  if (!answer) return;
  const main = answer.collections.find((one) => one.name === "main") ?? answer.collections[0];
  names.splice(0, names.length, ...(main?.concepts ?? []));
}

// The same hues as search/masks.py.
export const colour = (name) => `hsl(${(names.indexOf(name) * 137.508) % 360} 75% 55%)`;
