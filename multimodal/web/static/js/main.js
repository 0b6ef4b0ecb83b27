// Puts the page together: what the address says is shown, and what one does changes the address.

import { get } from "./api.js";
import { $, h, icon, notice, plain } from "./dom.js";
import * as duplicates from "./duplicates.js";
import * as filters from "./filters.js";
import { bytes, plural } from "./format.js";
import { enter } from "./grid.js";
import * as keys from "./keys.js";
import * as results from "./results.js";
import * as searchbar from "./searchbar.js";
import { go, search, start, state, subscribe } from "./state.js";
import * as viewer from "./viewer.js";

function changed(now, before, how) {
  const first = how === "start";
  const duplicating = now.view === "duplicates";
  searchbar.render();
  filters.render();
  $("browse").hidden = duplicating;
  $("duplicates").hidden = !duplicating;
  if (duplicating) $("duplicates-link").setAttribute("aria-current", "page");
  else $("duplicates-link").removeAttribute("aria-current");
  if (duplicating) {
    if (first || before.view !== now.view || before.kind !== now.kind) duplicates.render();
  } else if (first || before.view !== now.view || search(now) !== search(before)) {
    results.render(how === "back", how === "go" ? 0 : history.state?.scroll);
  } else if (how === "go" && !now.open && !before.open) results.render(false); // the same search once more
  viewer.render();
}

function theme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => {
    $("theme").replaceChildren(icon(dark() ? "sun" : "moon"));
    $("theme").title = dark() ? "Light" : "Dark";
    $("theme").setAttribute("aria-label", dark() ? "Switch to light" : "Switch to dark");
  };
  $("theme").addEventListener("click", () => {
    const next = dark() ? "light" : "dark";
    const own = (next === "dark") !== system.matches; // what the system says anyway is not kept
    if (own) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      if (own) localStorage.setItem("theme", next);
      else localStorage.removeItem("theme");
    } catch { /* storage is switched off: it holds for this page */ }
    show();
  });
  system.addEventListener("change", show);
  show();
}

function tools() {
  const follow = (id, changes) => $(id).addEventListener("click", (event) => {
    if (!plain(event)) return;
    event.preventDefault();
    go(changes());
  });
  const empty = { minus: [], like: [], unlike: [], image: [], unimage: [] };
  const bare = Object.fromEntries(Object.keys(state).map((name) => [name, empty[name] ?? ""]));
  follow("home", () => bare);
  follow("duplicates-link", () => (state.view ? { view: "", kind: "" } : { view: "duplicates", open: "" }));
  $("duplicates-link").append(icon("copies"));
  $("duplicates-link").title = "Duplicates";
  $("help").append(icon("help"));
  $("help").title = "Keys";
  addEventListener("scroll", () => document.body.classList.toggle("scrolled", scrollY > 4), { passive: true });
}

function foot(about) {
  const years = [about.oldest, about.newest].filter(Boolean).map((it) => it.slice(0, 4));
  const facts = [
    `${plural(about.images, "picture")}, ${bytes(about.bytes)}`,
    years.length && (years[0] === years[1] ? years[0] : `${years[0]} – ${years[1]}`),
    about.placed && `${plural(about.placed, "place")} known`,
    `Model: ${about.model}`,
    `Index: ${bytes(about.disk)}`,
  ];
  $("foot").replaceChildren(...facts.filter(Boolean).map((text) => h("span", {}, text)));
}

async function about() {
  try {
    const found = await get("/api/about");
    foot(found);
    filters.setUp(found.facets);
  } catch (error) {
    notice(error.message);
  }
}

theme();
tools();
keys.setUp();
searchbar.setUp({ down: enter });
results.setUp({ drawn: viewer.refresh });
viewer.setUp();
subscribe(changed);
start();
about();
