// The two filters that are more than a list: years as a histogram, and a condition of one's own.

import { h } from "./dom.js";
import { plural } from "./format.js";
import { go, state } from "./state.js";

const close = (element) => element.closest(".menu").hidePopover();

export function yearsMenu(years) {
  const [first, last] = [years[0].value, years.at(-1).value];
  const most = Math.max(...years.map((it) => it.count));
  const counts = new Map(years.map((it) => [it.value, it.count]));
  const all = Array.from({ length: last - first + 1 }, (_, place) => first + place);
  const drawn = all.length > 90 ? years.map((it) => it.value) : all; // a wrong clock must not make bars too thin
  const within = (year) => (state.from || state.to) && year >= (state.from || 0) && year <= (state.to || 9999);
  const bars = drawn.map((year) => {
    const bar = h("i", { style: { height: `${counts.get(year) ? Math.max(6, (92 * counts.get(year)) / most) : 0}%` } });
    const words = `${year}: ${plural(counts.get(year) ?? 0, "picture")}`;
    return h("button", { type: "button", title: words, "aria-label": words, "aria-pressed": String(Boolean(within(year))),
      onclick: (event) => { close(event.currentTarget); go(range(year)); } }, bar);
  });
  const choice = (name, words) => h("label", {}, words, h("select", { onchange: ({ target }) => {
    close(target);
    go(ordered({ from: state.from, to: state.to, [name]: target.value }));
  } }, h("option", { value: "" }, "any year"),
  years.map(({ value }) => h("option", { value, selected: state[name] === String(value) }, String(value)))));
  return [h("div.inside", {}, h("div.years", { role: "group", "aria-label": "Years" }, bars),
    h("div.scale", { "aria-hidden": "true" }, h("span", {}, String(first)), last > first && h("span", {}, String(last))),
    h("div.row", {}, choice("from", "From"), choice("to", "To")))];
}

// A second year extends a single one to a range; otherwise a year stands alone.
function range(year) {
  const text = String(year);
  const single = state.from && state.from === state.to;
  if (single && state.from === text) return { from: "", to: "" };
  return single ? ordered({ from: state.from, to: text }) : { from: text, to: text };
}

function ordered({ from, to }) {
  return from && to && Number(from) > Number(to) ? { from: to, to: from } : { from, to };
}

export function conditionMenu() {
  const area = h("textarea", { "aria-label": "Condition", spellcheck: "false", maxlength: "10000",
    placeholder: "month IN (6, 7, 8) AND path LIKE '%rome%'" });
  area.value = state.where;
  const apply = () => { close(area); go({ where: area.value.trim() }); };
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    apply();
  });
  const columns = "year, month, day, taken, modified, camera, make, folder, name, path, format, width, height, bytes, "
    + "latitude, longitude";
  return [h("div.inside", {}, h("p", {}, "A condition in SQL over ", h("code", {}, columns), "."), area,
    h("div.row", {}, h("button.button.main", { type: "button", onclick: apply }, "Apply")))];
}
