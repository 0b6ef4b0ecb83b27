// The grid of pictures. Only tiles near the window are in the document, so a list may be of any length.

import { image, thumbnail } from "./api.js";
import { $, h, icon, plain } from "./dom.js";
import { percent } from "./format.js";
import { beside, justify } from "./layout.js";
import { address, go } from "./state.js";

const grid = $("grid");
const SHARP = 640; // px, the longer side of a picture that takes the place of a thumbnail on a fine screen
const SHARPENED_AT_ONCE = 2;
const COARSE = 340; // px of the screen that a thumbnail of 256 still serves
const mounted = new Map(); // place -> element
let heads = [];
let list = null;
let laid = { boxes: [], heads: [], height: 0 };
let sections = [];
let nearEnd = () => {};
let resting = 0;

export function setUp(options) {
  nearEnd = options.nearEnd;
  addEventListener("scroll", () => requestAnimationFrame(mount), { passive: true });
  new ResizeObserver(([entry]) => { if (list && entry.contentRect.width !== laid.width) layOut(true); }).observe(grid);
  grid.addEventListener("keydown", keys);
  grid.addEventListener("focusin", ({ target }) => {
    const tile = target.closest(".tile");
    if (tile) select(Number(tile.dataset.place));
  });
}

// Show `listing`, from its beginning or where it was left.
export function show(listing, cut) {
  list = listing;
  sections = cut;
  clear();
  layOut(false);
  scrollTo({ top: list.scroll, behavior: "instant" });
  mount();
}

// More of the same list has arrived.
export function grow(cut) {
  sections = cut;
  layOut(false);
}

export function hide() {
  list = null;
  clear();
  grid.style.height = "0";
}

// Put the keys on the tile of a picture and bring it into view.
export function focusOn(id) {
  const place = list ? list.items.findIndex((item) => item.id === id) : -1;
  if (place >= 0) focus(place);
}

function clear() {
  for (const element of mounted.values()) element.remove();
  for (const element of heads) element.remove();
  mounted.clear();
  heads = [];
}

function layOut(keepPlace) {
  const width = grid.clientWidth;
  const narrow = innerWidth <= 700;
  const gap = narrow ? 4 : 8;
  const few = list.done && list.items.length <= 8; // there is room to show them larger
  const target = narrow ? Math.min(150, width / 2.6) : few ? 280 : innerWidth > 1700 ? 224 : 200;
  const top = grid.getBoundingClientRect().top + scrollY;
  const anchor = keepPlace ? laid.boxes.findIndex((box) => box.y + box.h + top > scrollY) : -1;
  const before = laid.boxes[anchor]?.y;
  laid = { ...justify(list.items, sections, { width, target, gap, head: narrow ? 36 : 40 }), width };
  grid.style.height = `${laid.height}px`;
  for (const element of heads) element.remove();
  heads = laid.heads.map((head) =>
    h(`h2${head.kind ? `.${head.kind}` : ""}`, { style: { top: `${head.y}px`, height: `${head.h}px` } }, head.title));
  grid.append(...heads);
  for (const [place, element] of mounted) placeTile(element, laid.boxes[place]);
  if (anchor > 0) scrollBy({ top: laid.boxes[anchor].y - before, behavior: "instant" });
  mount();
}

function mount() {
  if (!list) return;
  const top = -grid.getBoundingClientRect().top;
  const [low, high] = [top - innerHeight, top + 2 * innerHeight];
  const { boxes } = laid;
  const first = firstBelow(low);
  let last = first;
  while (last < boxes.length && boxes[last].y < high) last += 1;
  for (const [place, element] of mounted) {
    if ((place < first || place >= last) && !element.contains(document.activeElement)) {
      element.remove();
      mounted.delete(place);
    }
  }
  let next = null; // from the back, so that each knows what it stands before
  for (let place = last - 1; place >= first; place -= 1) {
    let element = mounted.get(place);
    if (!element) {
      element = tileOf(list.items[place], place);
      mounted.set(place, element);
      grid.insertBefore(element, next ?? following(place));
    }
    next = element;
  }
  if (grid.getBoundingClientRect().bottom < 2.5 * innerHeight) nearEnd();
  clearTimeout(resting);
  resting = setTimeout(sharpen, 250);
}

// Thumbnails are too coarse for screens with small pixels: once scrolling rests, what is seen is loaded finer.
async function sharpen() {
  const wanted = [...mounted].filter(([place, element]) => {
    const { w, h: height } = laid.boxes[place];
    const box = element.getBoundingClientRect();
    const coarse = Math.max(w, height) * devicePixelRatio > COARSE && !element.dataset.sharp;
    return coarse && box.bottom > 0 && box.top < innerHeight;
  }).sort(([one], [other]) => one - other);
  const work = async () => {
    for (let next = wanted.shift(); next; next = wanted.shift()) {
      const [place, element] = next;
      const picture = element.querySelector("img");
      if (!picture || !element.isConnected || element.dataset.sharp) continue;
      element.dataset.sharp = "1";
      const finer = new Image();
      finer.src = `${image(list.items[place].id)}?side=${SHARP}&v=${list.items[place].version}`;
      await finer.decode().then(() => { picture.src = finer.src; }, () => {});
    }
  };
  await Promise.all(Array.from({ length: SHARPENED_AT_ONCE }, work));
}

// The tile that is in the document and comes next after `place`: reading order is that of the list.
function following(place) {
  let best = Infinity;
  for (const other of mounted.keys()) if (other > place && other < best) best = other;
  return mounted.get(best) ?? null;
}

function firstBelow(y) {
  let [low, high] = [0, laid.boxes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (laid.boxes[middle].y + laid.boxes[middle].h < y) low = middle + 1;
    else high = middle;
  }
  return low;
}

function placeTile(element, { x, y, w, h: height }) {
  element.style.transform = `translate(${x}px, ${y}px)`;
  element.style.width = `${w}px`;
  element.style.height = `${height}px`;
}

function tileOf(item, place) {
  const scored = item.score !== undefined;
  const label = scored ? `${item.name}, relevance ${percent(item.relevance)}, score ${item.score.toFixed(3)}` : item.name;
  const picture = h("img", { alt: "", src: thumbnail(item), decoding: "async", draggable: "false" });
  const link = h("a", { href: address({ open: item.id }), "aria-label": label, draggable: "true",
    tabindex: place === list.current ? "0" : "-1" },
    picture,
    h("span.word", { "aria-hidden": "true" }, h("span.name", {}, item.name),
      scored && h("span.rate", {}, percent(item.relevance), h("small", {}, ` · ${item.score.toFixed(3)}`))));
  const element = h("div.tile", { role: "listitem", "data-place": place, "data-id": item.id,
    "aria-setsize": list.found, "aria-posinset": place + 1 }, link);
  if (item.relevant === false && list.items[0].relevant) element.classList.add("far");
  if (!item.width) element.classList.add("whole");
  picture.addEventListener("load", () => picture.classList.add("there"));
  picture.addEventListener("error", () => {
    picture.replaceWith(icon("picture"));
    element.classList.add("gone");
  });
  link.addEventListener("click", (event) => {
    if (!plain(event)) return;
    event.preventDefault();
    go({ open: item.id });
  });
  link.addEventListener("dragstart", (event) => event.dataTransfer.setData("application/x-picture", item.id));
  placeTile(element, laid.boxes[place]);
  return element;
}

function select(place) {
  mounted.get(list.current)?.firstChild.setAttribute("tabindex", "-1");
  list.current = place;
  mounted.get(place)?.firstChild.setAttribute("tabindex", "0");
}

function focus(place) {
  const box = laid.boxes[place];
  const top = grid.getBoundingClientRect().top + box.y;
  const bar = document.querySelector(".bar").offsetHeight;
  if (top < bar + 8) scrollBy({ top: top - bar - 60, behavior: "instant" });
  else if (top + box.h > innerHeight - 8) scrollBy({ top: top + box.h - innerHeight + 60, behavior: "instant" });
  mount();
  select(place);
  mounted.get(place)?.firstChild.focus({ preventScroll: true });
}

function keys(event) {
  if (!list?.items.length || event.metaKey || event.ctrlKey || event.altKey) return;
  const last = list.items.length - 1;
  const from = list.current;
  const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key]
    ?? { ArrowUp: beside(laid.boxes, from, -1), ArrowDown: beside(laid.boxes, from, 1) }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  focus(Math.min(last, Math.max(0, to)));
}

// The keys go from the search box to the grid.
export function enter() {
  if (list?.items.length) focus(Math.min(list.current, list.items.length - 1));
}
