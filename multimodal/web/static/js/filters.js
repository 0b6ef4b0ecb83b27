// The row of filters, built from what the index has, and the menu of each.

import { $, h, icon } from "./dom.js";
import { capital, count } from "./format.js";
import { conditionMenu, yearsMenu } from "./filter-menus.js";
import { FILTERS, any, go, nothing, state } from "./state.js";

const WORDS = {
  shape: { landscape: "Landscape", portrait: "Portrait", square: "Square", panorama: "Panorama" },
  size: { small: "Below 1 megapixel", medium: "1 to 8 megapixels", large: "Above 8 megapixels" },
};
const ONE = { width: 300 };
let facets = null;

export function setUp(found) {
  facets = found;
  render();
}

export function render() {
  if (!facets) return;
  const { folders, years, cameras, shapes, sizes, formats } = facets;
  const folder = folders.find((it) => it.value === state.folder)?.label ?? state.folder.split("/").at(-1);
  const pills = [
    folders.length > 1 && list("folder", "Folder", "folder", folders, folder),
    years.length > 0 && pill("date", "Date", "calendar", dates(), () => yearsMenu(years), ["from", "to"]),
    cameras.length > 0 && list("camera", "Camera", "camera", cameras, state.camera),
    shapes.length > 1 && list("shape", "Shape", "shape", shapes, WORDS.shape[state.shape] ?? state.shape),
    sizes.length > 1 && list("size", "Size", "size", sizes, WORDS.size[state.size] ?? state.size),
    formats.length > 1 && list("format", "Format", "format", formats, state.format),
    pill("where", "Condition", "sliders", state.where, conditionMenu, ["where"]),
    any(FILTERS) && h("button.link", { type: "button", onclick: () => go(nothing(FILTERS)) }, "Clear filters"),
  ];
  const focused = document.activeElement?.closest?.(".pill")?.dataset.name;
  $("filters").replaceChildren(...pills.filter(Boolean));
  if (focused) $("filters").querySelector(`[data-name="${focused}"]`)?.focus();
}

function dates() {
  if (!state.from && !state.to) return "";
  if (state.from === state.to) return state.from;
  return state.from ? `${state.from} – ${state.to || "now"}` : `until ${state.to}`;
}

function pill(name, title, sign, value, menu, keys) {
  const label = value ? `${title}: ${value}` : title;
  const button = h(`button.pill${value ? ".on" : ""}`, { type: "button", "data-name": name, "aria-haspopup": "dialog",
    "aria-expanded": "false", "aria-label": label, onclick: () => open(button, title, menu, value ? keys : null) },
  icon(sign), h("span", {}, value || title), icon("down"));
  return button;
}

function list(name, title, sign, choices, value) {
  return pill(name, title, sign, value, () => choicesMenu(name, title, choices), [name]);
}

function open(button, title, content, keys) {
  document.querySelector(".menu")?.remove();
  const menu = h("div.menu", { popover: "auto", role: "dialog", "aria-label": title }, content(),
    keys && h("button.choice", { type: "button", onclick: () => { menu.hidePopover(); go(nothing(keys)); } },
      icon("close"), "Remove this filter"));
  $("filters").after(menu);
  menu.addEventListener("toggle", ({ newState }) => {
    button.setAttribute("aria-expanded", String(newState === "open"));
    if (newState === "closed") menu.remove();
  });
  menu.addEventListener("keydown", (event) => arrows(event, menu));
  menu.showPopover();
  const at = button.getBoundingClientRect();
  const left = Math.max(10, Math.min(at.left, document.documentElement.clientWidth - Math.max(ONE.width, menu.offsetWidth) - 10));
  menu.style.left = `${left}px`;
  menu.style.top = `${at.bottom + 6}px`;
  const touched = matchMedia("(hover: none)").matches; // a field would call up the keyboard over the menu
  menu.querySelector(`[aria-pressed='true']${touched ? "" : ", input, textarea"}, .choice, .years button`)?.focus();
}

function choicesMenu(name, title, choices) {
  const buttons = choices.map(({ value, label, depth, count: number }) => {
    const words = label ?? WORDS[name]?.[value] ?? value;
    return h("button.choice", { type: "button", "aria-pressed": String(state[name] === value), title: depth === undefined ? null : value,
      style: { "--depth": depth ?? 0 }, "data-words": words.toLowerCase(), onclick: (event) => {
        event.currentTarget.closest(".menu").hidePopover();
        go({ [name]: state[name] === value ? "" : value });
      } },
    h("span.name", {}, words), h("span.count", {}, count(number)));
  });
  const sift = choices.length > 7 && h("input.sift", { type: "search", placeholder: `Find a ${title.toLowerCase()}`,
    "aria-label": `Find a ${title.toLowerCase()}`, oninput: ({ target }) => {
      const wanted = target.value.trim().toLowerCase();
      for (const button of buttons) button.hidden = !button.dataset.words.includes(wanted);
    } });
  return [sift, h("div", { role: "group", "aria-label": capital(title) }, buttons)].filter(Boolean);
}

function arrows(event, menu) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.target.matches("select, textarea")) return;
  const choices = [...menu.querySelectorAll(".choice:not([hidden])")];
  const next = choices[choices.indexOf(document.activeElement) + step];
  event.preventDefault();
  next?.focus();
}
