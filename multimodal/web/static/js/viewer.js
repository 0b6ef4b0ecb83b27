// The full view of one picture, over the page: stepping through the list, and all that is known of it.

import { details, image, thumbnail } from "./api.js";
import { $, h, icon } from "./dom.js";
import { count } from "./format.js";
import { focusOn } from "./grid.js";
import { panel } from "./panel.js";
import { current, more } from "./results.js";
import { go, leave, state } from "./state.js";

const dialog = $("viewer");
const SWIPE = 60; // px
let shown = "";
let parts = null;

export function setUp() {
  const button = (name, label, act) => h(`button.icon.${name}`, { type: "button", "aria-label": label, title: label, onclick: act });
  const make = (name, sign, label, act) => { const it = button(name, label, act); it.append(icon(sign)); return it; };
  parts = {
    frame: h("div.frame"),
    place: h("p.place", { role: "status" }),
    before: make("step.before", "left", "Previous picture", () => step(-1)),
    after: make("step.after", "right", "Next picture", () => step(1)),
    panel: h("aside.panel", { "aria-label": "About this picture" }),
  };
  const stage = h("div.stage", { tabindex: "-1", autofocus: true }, parts.frame,
    h("div.top", {}, make("shut", "close", "Close", close), parts.place, make("about", "info", "Show or hide details", toggle)),
    parts.before, parts.after);
  parts.stage = stage;
  dialog.append(stage, parts.panel);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  dialog.addEventListener("close", () => { if (state.open) close(); }); // browsers let no page hold a second Esc back
  dialog.addEventListener("keydown", keys);
  new ResizeObserver(fit).observe(stage);
  swiping(stage);
}

export function render() {
  if (!state.open) {
    if (dialog.open) {
      dialog.close();
      focusOn(shown);
    }
    shown = "";
    return;
  }
  if (!dialog.open) dialog.showModal();
  if (shown !== state.open) show(state.open);
}

// The list has come: where the picture stands in it is known now.
export function refresh() {
  if (shown) where();
}

const close = () => leave({ open: "" });
const toggle = () => dialog.classList.toggle("bare");
const items = () => (state.view ? [] : current()?.items ?? []);
const placeOf = (id) => items().findIndex((item) => item.id === id);

async function show(id) {
  shown = id;
  const place = where();
  const item = items()[place];
  parts.stage.classList.remove("actual");
  if (item) pictures(item);
  else parts.frame.replaceChildren();
  dialog.scrollTop = parts.panel.scrollTop = 0;
  if (items().length - place < 10 && place >= 0) more();
  try {
    const found = await details(id);
    if (shown !== id) return;
    if (!item) pictures(found);
    panel(parts.panel, found, item);
    for (const next of [items()[place + 1], items()[place - 1]]) if (place >= 0 && next) details(next.id).catch(() => {});
  } catch (error) {
    if (shown === id) parts.panel.replaceChildren(h("h2", { id: "viewer-name" }, "This picture cannot be shown"), h("p.lead", {}, error.message));
  }
}

function where() {
  const place = placeOf(shown);
  parts.place.textContent = place < 0 ? "" : `${count(place + 1)} of ${count(current().found)}`;
  parts.before.disabled = place <= 0;
  parts.after.disabled = place < 0 || (place === items().length - 1 && current().done);
  return place;
}

// First the thumbnail, which is there at once, then the file over it.
function pictures(item) {
  const small = h("img.small", { src: thumbnail(item), alt: "" });
  const large = h("img.large", { src: image(item.id), alt: item.name, decoding: "async" });
  parts.frame.replaceChildren(small, large);
  parts.frame.dataset.width = item.width || 0;
  parts.frame.dataset.height = item.height || 0;
  fit();
  large.addEventListener("load", () => {
    large.classList.add("there");
    if (!Number(parts.frame.dataset.width)) {
      parts.frame.dataset.width = large.naturalWidth;
      parts.frame.dataset.height = large.naturalHeight;
      fit();
    }
  });
  large.addEventListener("error", async () => {
    let words = "The file cannot be shown.";
    try {
      words = (await (await fetch(image(item.id))).json()).error ?? words;
    } catch { /* the server is gone: the words above will do */ }
    large.remove();
    if (shown === item.id) parts.frame.append(h("p.trouble", { role: "alert" }, words));
  });
  large.addEventListener("click", () => parts.stage.classList.toggle("actual"));
}

function fit() {
  const { width, height } = parts.frame.dataset;
  const [w, h] = [Number(width), Number(height)];
  if (!w || !h) return;
  const scale = Math.min(parts.stage.clientWidth / w, parts.stage.clientHeight / h, Math.max(1, 480 / Math.max(w, h)));
  parts.frame.style.setProperty("--w", `${Math.round(w * scale)}px`);
  parts.frame.style.setProperty("--h", `${Math.round(h * scale)}px`);
}

async function step(by) {
  const place = placeOf(shown);
  if (place < 0) return;
  if (!items()[place + by] && by > 0) await more();
  const next = items()[place + by];
  if (next) go({ open: next.id }, { replace: true });
}

function keys(event) {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  const act = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    i: toggle,
    z: () => parts.stage.classList.toggle("actual"),
    m: () => parts.panel.querySelector("[data-act='alike']")?.click(),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function swiping(stage) {
  let from = null;
  stage.addEventListener("touchstart", ({ touches }) => { from = touches.length === 1 ? touches[0] : null; }, { passive: true });
  stage.addEventListener("touchend", ({ changedTouches: [to] }) => {
    if (!from || parts.stage.classList.contains("actual")) return;
    const [x, y] = [to.clientX - from.clientX, to.clientY - from.clientY];
    if (Math.abs(x) > SWIPE && Math.abs(x) > 2 * Math.abs(y)) step(x < 0 ? 1 : -1);
  }, { passive: true });
}
