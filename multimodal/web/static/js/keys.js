// Keys that work anywhere on the page, and the list of them.

import { $, h, icon } from "./dom.js";
import { enter } from "./grid.js";
import { focus } from "./searchbar.js";
import { go, state } from "./state.js";

const KEYS = [
  [["/"], "to the search box"],
  [["↓"], "from the search box to the pictures"],
  [["←", "→", "↑", "↓"], "from picture to picture"],
  [["Enter"], "open a picture"],
  [["M"], "more like this picture"],
  [["I"], "show or hide details of an open picture"],
  [["Z"], "an open picture at its own size"],
  [["Esc"], "close, or leave the box"],
  [["D"], "duplicates, and back"],
  [["?"], "this list"],
  [["-word"], "in a search: what should not be in the picture"],
];
const dialog = $("keys");

export function setUp() {
  dialog.append(
    h("header", {}, h("h2", { id: "keys-title" }, "Keys"),
      h("button.icon", { type: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"))),
    h("dl", {}, KEYS.flatMap(([keys, words]) => [
      h("dt", {}, keys.flatMap((key) => [h("kbd", {}, key), " "])), h("dd", {}, words)])));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  $("help").addEventListener("click", () => dialog.showModal());
  addEventListener("keydown", keys);
}

function keys(event) {
  if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
  if (event.target.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
  const tile = event.target.closest?.(".tile");
  const act = {
    "/": focus,
    "?": () => dialog.showModal(),
    d: () => go(state.view ? { view: "", kind: "" } : { view: "duplicates", open: "" }),
    m: tile && (() => go({ q: "", minus: [], unlike: [], image: [], unimage: [], like: [tile.dataset.id], all: "" })),
    ArrowDown: !tile && event.target === document.body && enter,
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}
