// Loads pictures when they come near the screen: few at a time, the last seen first, and not those that were scrolled past.

const AT_A_TIME = 4; // of the six connections that a browser opens to a host; searches need one, too
const MARGIN = "300px";

const waiting = new Map(); // image -> address, in the order in which they came near
let running = 0;

const observer = new IntersectionObserver(
  (entries) => {
    // Reversed, so that what is highest on the screen is taken first from the end.
    for (const { target, isIntersecting } of entries.reverse()) {
      waiting.delete(target);
      if (isIntersecting) waiting.set(target, target.dataset.address);
    }
    pump();
  },
  { rootMargin: MARGIN },
);

export function loadWhenSeen(image, address) {
  image.dataset.address = address;
  observer.observe(image);
}

function pump() {
  while (running < AT_A_TIME && waiting.size) {
    const [image, address] = [...waiting].pop();
    waiting.delete(image);
    observer.unobserve(image);
    if (image.isConnected) load(image, address);
  }
}

function load(image, address) {
  running += 1;
  const ended = () => {
    running -= 1;
    pump();
  };
  image.addEventListener("load", ended, { once: true });
  image.addEventListener("error", ended, { once: true });
  image.src = address;
}
