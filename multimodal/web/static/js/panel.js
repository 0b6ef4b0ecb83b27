// What is known of one picture, beside it in the full view, and what is like it.

import { get, image, thumbnail } from "./api.js";
import { copy, h, icon, plain } from "./dom.js";
import { bytes, moment, percent, pixels, place } from "./format.js";
import { FILTERS, QUERY, address, any, go, nothing, state } from "./state.js";

const ALIKE = 8;

// Fill `box` in for `row`; `hit` is its place in a list of results, if it has one.
export function panel(box, row, hit) {
  const folder = row.path.slice(0, Math.max(0, row.path.length - row.name.length - 1));
  const alike = h("div", { hidden: true }, h("h3", {}, "More like this"), h("div.alike"));
  box.replaceChildren(
    h("h2", { id: "viewer-name" }, row.name),
    h("p.lead", {}, row.taken ? moment(row.taken) : "Date not recorded"),
    hit?.score === undefined ? "" : meter(hit),
    h("div.acts", {},
      act("alike.main.wide", "alike", "More like this", () => go({ ...nothing([...QUERY, ...FILTERS]), like: [row.id], all: "", view: "", open: "" })),
      any(QUERY) && !state.like.includes(row.id) && !state.view
        && act("mix.wide", "plus", "Add to the search", () => go({ like: [...state.like, row.id], all: "", open: "" })),
      h("a.button", { href: image(row.id), target: "_blank", rel: "noopener" }, icon("open"), "Open"),
      h("a.button", { href: `${image(row.id)}?download=1`, download: row.name }, icon("download"), "Download")),
    h("dl", {},
      ...field("Size", row.width && pixels(row.width, row.height)),
      ...field("File", [row.format, bytes(row.bytes)].filter(Boolean).join(" · ")),
      ...field("Camera", row.camera && camera(row)),
      ...copied("Place", row.latitude !== null && place(row.latitude, row.longitude)),
      ...field("Folder", folder && h("button.link", { type: "button",
        onclick: () => go({ ...nothing([...QUERY, ...FILTERS]), folder: row.folder, all: "", view: "", open: "" }) }, row.folder.split(/[\\/]/).at(-1) || row.folder)),
      ...copied("Path", row.path),
      ...field("Last written", row.modified && `${moment(row.modified)} UTC`)),
    alike);
  fill(alike, row);
}

function act(kind, sign, words, does) {
  const [name, ...classes] = kind.split(".");
  return h(`button.button${classes.map((it) => `.${it}`).join("")}`, { type: "button", "data-act": name, onclick: does }, icon(sign), words);
}

function meter(hit) {
  return h("div.meter", {}, h("span", { title: "How surely the score stands out from what chance gives for this search" }, "Relevance"), h("b", {}, percent(hit.relevance)),
    h("div.track", { "aria-hidden": "true" }, h("i", { style: { width: `${100 * hit.relevance}%` } })),
    h("span", { title: "Cosine between the search and the picture" }, "Score"), h("b", {}, hit.score.toFixed(3)));
}

function field(name, value) {
  return value ? [h("div", {}, h("dt", {}, name), h("dd", {}, value))] : [];
}

function copied(name, value) {
  return value ? [h("div", {}, h("dt", {}, name), h("dd.copied", {}, h("span", {}, value),
    h("button.icon", { type: "button", "aria-label": `Copy the ${name.toLowerCase()}`, title: "Copy", onclick: () => copy(value, name) }, icon("copy"))))] : [];
}

function camera({ make, camera: model }) {
  return make && !model.toLowerCase().startsWith(make.split(" ")[0].toLowerCase()) ? `${make} ${model}` : model;
}

// The pictures that are most like this one; none where nothing is.
async function fill(box, row) {
  let found;
  try {
    found = await get(`/api/search?like=${encodeURIComponent(row.id)}&limit=${ALIKE + 1}`);
  } catch {
    return; // an extra that is not missed: the button above says what is wrong
  }
  const others = found.items.filter((item) => item.id !== row.id).slice(0, ALIKE);
  box.hidden = !others.length;
  box.lastChild.replaceChildren(...others.map((item) =>
    h("a", { href: address({ open: item.id }), "aria-label": item.name, title: item.name, onclick: (event) => {
      if (!plain(event)) return;
      event.preventDefault();
      go({ open: item.id }, { replace: true });
    } }, h("img", { src: thumbnail(item), alt: "", decoding: "async" }))));
}
