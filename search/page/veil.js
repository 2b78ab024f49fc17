// Thumbnails may be blurred or grey until they are pointed at, for people who look at them all day.

import { byId } from "./dom.js";

const KEY = "hashreel.veil";

export function startVeil() {
  const select = byId("veil");
  select.value = localStorage.getItem(KEY) ?? "";
  if (select.selectedIndex < 0) select.value = "";
  document.body.dataset.veil = select.value;
  select.addEventListener("change", () => {
    localStorage.setItem(KEY, select.value);
    document.body.dataset.veil = select.value;
  });
}
