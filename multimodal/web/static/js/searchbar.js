// The search box: its text, the chips beside it, and pictures that are dropped, pasted or chosen.

import { thumbnail, upload } from "./api.js";
import { $, during, h, icon, notice } from "./dom.js";
import { QUERY, any, go, nothing, state } from "./state.js";
import { parse } from "./words.js";

const input = $("query");
const OTHER = { like: "unlike", unlike: "like", image: "unimage", unimage: "image" };

export function setUp({ down }) {
  $("glass").append(icon("search"));
  $("clear").append(icon("close"));
  $("choose").append(icon("picture"));
  $("choose").title = "Search with a picture";
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  input.addEventListener("input", showClear);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Backspace" && !input.value) removeLast();
    if (event.key === "ArrowDown") {
      event.preventDefault();
      down();
    }
    if (event.key === "Escape") input.blur();
  });
  $("clear").addEventListener("click", () => {
    input.value = "";
    input.focus();
    go({ ...nothing(QUERY), all: "", view: "" });
    showClear();
  });
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = "";
  });
  addEventListener("paste", ({ clipboardData }) => {
    const file = [...clipboardData.files].find((it) => it.type.startsWith("image/"));
    if (file) take(file);
  });
  dropping();
}

export function render() {
  input.value = state.q;
  const pictures = ["like", "unlike", "image", "unimage"].flatMap((name) => state[name].map((value) => pictureChip(name, value)));
  $("chips").replaceChildren(...pictures);
  $("without").replaceChildren(...state.minus.map((value) =>
    chip("minus", value, h("span.sign", {}, "without"), h("span.text", {}, value), value)));
  input.placeholder = pictures.length ? "and …" : matchMedia("(max-width: 700px)").matches ? "Describe a picture" : "Describe a picture, or drop one here";
  showClear();
}

export function focus() {
  input.focus();
  input.select();
}

function submit() {
  const found = parse(input.value);
  const minus = [...new Set([...state.minus, ...found.minus])];
  const again = found.q === state.q && minus.length === state.minus.length;
  go({ q: found.q, minus, all: "", view: "", open: "" }, { replace: again });
  if (matchMedia("(hover: none)").matches) input.blur(); // the phone's keyboard would cover the pictures
}

function showClear() {
  $("clear").hidden = !(input.value || any(QUERY));
}

function chip(name, value, first, second, words) {
  return h(`span.chip${name.startsWith("un") || name === "minus" ? ".no" : ""}`, {}, first, second,
    h("button.off", { type: "button", "aria-label": `Remove ${words} from the search`, onclick: () => remove(name, value) },
      icon("close")));
}

function pictureChip(name, value) {
  const no = name.startsWith("un");
  const uploaded = name.endsWith("image");
  const source = uploaded ? `/upload/${value}` : thumbnail({ id: value, version: "" });
  const sign = h("button.sign", { type: "button", "aria-pressed": String(no), title: no ? "Make it: like this" : "Make it: not like this",
    onclick: () => go({ [name]: state[name].filter((it) => it !== value), [OTHER[name]]: [...state[OTHER[name]], value], all: "" }) },
  no ? "not like" : "like");
  const picture = h("img", { src: source, alt: uploaded ? "your picture" : "a picture of the index" });
  picture.addEventListener("error", () => { picture.style.visibility = "hidden"; });
  return chip(name, value, sign, picture, "the picture");
}

function remove(name, value) {
  go({ [name]: state[name].filter((it) => it !== value), all: "" });
  input.focus();
}

function removeLast() {
  const name = ["minus", "unimage", "image", "unlike", "like"].find((it) => state[it].length);
  if (name) remove(name, state[name].at(-1));
}

async function take(file) {
  try {
    const name = await during(upload(file));
    const { q } = parse(input.value);
    go({ q, image: [name], all: "", view: "", open: "" });
  } catch (error) {
    notice(error.message);
  }
}

function dropping() {
  const carries = ({ dataTransfer }) =>
    ["Files", "application/x-picture"].some((kind) => dataTransfer?.types.includes(kind));
  const target = $("drop");
  let inside = 0; // enter and leave are also told of every element on the way
  const end = () => { inside = 0; target.hidden = true; };
  addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    inside += 1;
    target.hidden = document.querySelector("dialog[open]") !== null;
  });
  addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
  addEventListener("dragleave", (event) => { if (carries(event) && --inside <= 0) end(); });
  addEventListener("dragend", end);
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    end();
    const id = event.dataTransfer.getData("application/x-picture");
    const [file] = event.dataTransfer.files;
    if (id) go({ like: [...new Set([...state.like, id])], all: "", view: "", open: "" });
    else if (file) take(file);
  });
}
