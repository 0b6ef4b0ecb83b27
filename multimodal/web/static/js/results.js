// The list of pictures: loading it, what is said about it as a whole, and what stands there when it is empty.

import { thumbnail } from "./api.js";
import { $, during, h, icon, plain } from "./dom.js";
import { count, month, percent, plural } from "./format.js";
import * as grid from "./grid.js";
import { listing } from "./listing.js";
import { FILTERS, QUERY, address, any, go, nothing, search, state } from "./state.js";
import { query } from "./words.js";

const PATIENCE = 1500; // milliseconds until a search explains itself
let list = null;

let drawn = () => {};

export function setUp(options) {
  drawn = options.drawn;
  grid.setUp({ nearEnd: more });
  let timer = 0;
  addEventListener("scroll", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (!list || $("browse").hidden) return;
      list.scroll = scrollY;
      history.replaceState({ ...history.state, scroll: scrollY }, ""); // for a reload
    }, 120);
  }, { passive: true });
  $("toggle-all").addEventListener("click", () => go({ all: "" }));
}

export const current = () => list;

// Show what the address asks for; `remembered`: as it was left, when going back.
export async function render(remembered, scroll = 0) {
  const wanted = listing(search(), remembered);
  if (list !== wanted) list?.stop.abort();
  if (wanted.stop.signal.aborted) wanted.stop = new AbortController();
  list = wanted;
  document.title = any(QUERY) ? `${query()} – Photo search` : "Photo search";
  document.body.classList.toggle("stale", wanted.found === null);
  const slow = setTimeout(() => {
    if (list === wanted && any(QUERY)) $("summary").replaceChildren("Searching… The first search waits for the model.");
  }, PATIENCE);
  try {
    if (wanted.found === null) await during(wanted.more());
    while (scroll > wanted.items.length * 40 && await wanted.more()); // a reload goes back to its place
    if (list !== wanted) return;
    wanted.scroll ||= scroll;
    draw();
  } catch (error) {
    if (error.name !== "AbortError" && list === wanted) fail(error);
  } finally {
    clearTimeout(slow);
    if (list === wanted) document.body.classList.remove("stale");
  }
}

// Load the next bit of the list.
export async function more() {
  const wanted = list;
  if (!wanted || wanted.done || wanted.found === null) return;
  try {
    const before = wanted.items.length;
    await (wanted.loading ?? during(wanted.more()));
    if (list !== wanted || wanted.items.length === before) return;
    grid.grow(sections());
    summary();
  } catch (error) {
    if (error.name !== "AbortError") $("end").replaceChildren(error.message);
  }
}

function draw() {
  $("message").hidden = true;
  if (list.items.length) grid.show(list, sections());
  else {
    grid.hide();
    empty();
  }
  summary();
  drawn();
}

// Browsing is cut by months; of results that were asked for in full, those are set apart that are not alike.
function sections() {
  if (!any(QUERY)) {
    const cuts = [];
    list.unit ??= unit(list.items);
    for (const [place, item] of list.items.entries()) {
      const title = item.date ? list.unit(item.date) : "Without a date";
      if (cuts.at(-1)?.title !== title) cuts.push({ from: place, title });
    }
    return cuts.length > 1 || list.items.length < list.found ? cuts : [];
  }
  const rest = list.items.findIndex((item) => !item.relevant);
  if (rest < 0) return [];
  const title = rest ? "From here on, only the nearest of the rest" : "Nothing is alike; these are the nearest";
  return [...(rest ? [{ from: 0, title: null }] : []), { from: rest, title, kind: "rest" }];
}

// Months where they are full enough, else years: a heading for every other picture would only be in the way.
function unit(items) {
  const months = new Set(items.map((item) => item.date?.slice(0, 7)));
  return items.length / months.size >= 8 ? month : (text) => text.slice(0, 4);
}

function summary() {
  const line = $("summary");
  const toggle = $("toggle-all");
  toggle.hidden = !(state.all && any(QUERY) && list.items.length);
  $("end").replaceChildren();
  if (!list.items.length) {
    line.replaceChildren();
    return;
  }
  const filtered = any(FILTERS) ? " that match the filters" : "";
  if (!any(QUERY)) {
    line.replaceChildren(h("b", {}, plural(list.found, "picture")), `${filtered}, newest first`);
    return;
  }
  const full = list.most && list.found >= list.most && list.total > list.most;
  const number = full ? `The nearest ${count(list.found)}` : state.all ? "All" : count(list.found);
  line.replaceChildren(h("b", {}, number), ` of ${plural(list.total, "picture")}${filtered} for `, h("b", {}, query()),
    state.all ? ", nearest first" : "");
  if (list.done && !state.all && list.found < list.total && !full) {
    $("end").replaceChildren("These are all that are alike. ", h("button.link", { type: "button",
      onclick: () => go({ all: "1" }) }, `Show the other ${count(list.total - list.found)} too`));
  }
}

function say(art, title, text, actions = [], extra = null) {
  const box = $("message");
  box.replaceChildren(h("div", {}, h("div.art", {}, icon(art)), h("h2", {}, title), text && h("p", {}, text),
    h("div.actions", {}, ...actions), extra));
  box.hidden = false;
}

const clearing = (names, text) => h("button.button", { type: "button", onclick: () => go(nothing(names)) }, text);

function empty() {
  const filters = any(FILTERS) && clearing(FILTERS, "Remove the filters");
  if (!list.total) {
    say("picture", any(FILTERS) ? "No picture matches these filters" : "There are no pictures here", null, [filters]);
    return;
  }
  const { nearest } = list;
  const link = nearest && h("a.nearest", { href: address({ open: nearest.id }), onclick: (event) => {
    if (!plain(event)) return;
    event.preventDefault();
    go({ open: nearest.id });
  } }, h("img", { src: thumbnail(nearest), alt: "", width: 104, height: 104 }),
  h("span", {}, "The nearest is this one", h("small", {}, nearest.name),
    h("small", {}, `Relevance ${percent(nearest.relevance)}, score ${nearest.score.toFixed(3)}`)));
  say("search", `Nothing like ${query()} in ${list.total === 1 ? "this picture" : `these ${count(list.total)} pictures`}`,
    "No picture stands out from what chance would give for this search.",
    [h("button.button.main", { type: "button", onclick: () => go({ all: "1" }) }, "Show the nearest anyway"), filters],
    link);
}

function fail(error) {
  grid.hide();
  $("summary").replaceChildren();
  $("end").replaceChildren();
  $("toggle-all").hidden = true;
  say("help", "This search does not work", error.message.replace(/^where\b/, "The condition"), [
    state.where && clearing(["where"], "Remove the condition"),
    any(QUERY) && clearing(QUERY, "Clear the search"),
    h("button.button", { type: "button", onclick: () => render(false) }, "Try again"),
  ]);
}
