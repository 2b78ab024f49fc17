// Arrow keys walk over a grid of hits; letters do to the one in focus what its buttons do.

const LETTERS = { g: ".good", b: ".bad", s: ".similar" };

export function walkByKeys(grid) {
  grid.addEventListener("keydown", (event) => {
    const item = event.target.closest("li.hit");
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const way = LETTERS[event.key] && item.querySelector(LETTERS[event.key]);
    const next = way ? null : neighbour([...grid.children], item, event.key);
    if (!way && !next) return;
    event.preventDefault();
    way?.click();
    next?.querySelector(".frame").focus();
  });
}

function neighbour(items, item, key) {
  const at = items.indexOf(item);
  const columns = items.filter((one) => one.offsetTop === items[0].offsetTop).length;
  const places = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: items.length - 1 };
  return items[places[key]] ?? null;
}
