// Elements and icons, made without ever parsing text as HTML: names of files may hold anything.

const SHAPES = {
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Z M20 20l-4-4",
  picture: "M5 4h14a1.5 1.5 0 0 1 1.5 1.5v13A1.5 1.5 0 0 1 19 20H5a1.5 1.5 0 0 1-1.5-1.5v-13A1.5 1.5 0 0 1 5 4Z M8.5 10.2a1.4 1.4 0 1 0 0-2.8 1.4 1.4 0 0 0 0 2.8Z M20.5 15l-4.6-4.6L7 19.5",
  close: "M6 6l12 12 M18 6L6 18",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z M12 2.5v2 M12 19.5v2 M2.5 12h2 M19.5 12h2 M5.3 5.3l1.4 1.4 M17.3 17.3l1.4 1.4 M5.3 18.7l1.4-1.4 M17.3 6.7l1.4-1.4",
  moon: "M20 14.2A8 8 0 0 1 9.8 4 8 8 0 1 0 20 14.2Z",
  help: "M9.2 9.3a2.8 2.8 0 1 1 4.2 2.4c-.9.5-1.4 1.1-1.4 2.1 M12 17.2v.1 M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  copies: "M9.5 8h9A1.5 1.5 0 0 1 20 9.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 8 18.5v-9A1.5 1.5 0 0 1 9.5 8Z M4 15.5v-10A1.5 1.5 0 0 1 5.5 4h10",
  left: "M14.5 6l-6 6 6 6",
  right: "M9.5 6l6 6-6 6",
  down: "M7 10l5 5 5-5",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z M12 11v5.5 M12 7.700v.1",
  download: "M12 4v11 M7.5 11l4.5 4.5 4.5-4.5 M5 20h14",
  open: "M13.5 4.5h6v6 M19.5 4.5l-8.5 8.5 M10 5H6.5A1.5 1.5 0 0 0 5 6.5v11A1.5 1.5 0 0 0 6.5 19h11a1.5 1.5 0 0 0 1.5-1.5V14",
  copy: "M9.5 8h9A1.5 1.5 0 0 1 20 9.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 8 18.5v-9A1.5 1.5 0 0 1 9.5 8Z M5 15a1 1 0 0 1-1-1V5.5A1.5 1.5 0 0 1 5.5 4H14a1 1 0 0 1 1 1",
  check: "M5 12.5l4.5 4.5L19 7.5",
  plus: "M12 5v14 M5 12h14",
  minus: "M5 12h14",
  alike: "M12 3.5l2 5.5 5.5 2-5.5 2-2 5.5-2-5.5-5.5-2 5.5-2Z M19 16.5v4 M17 18.5h4",
  folder: "M3.5 18V6.5A1.5 1.5 0 0 1 5 5h4l2 2.5h8A1.5 1.5 0 0 1 20.5 9v9a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 18Z",
  calendar: "M5 6h14v13.5H5Z M5 10h14 M8.5 3.5V7 M15.5 3.5V7",
  camera: "M4 8h3.5L9 5.5h6L16.5 8H20v11.5H4Z M12 16.5a3.200 3.200 0 1 0 0-6.400 3.200 3.200 0 0 0 0 6.400Z",
  shape: "M4 6.5h16v11H4Z",
  size: "M4 9V4h5 M20 15v5h-5 M4 4l6 6 M20 20l-6-6",
  format: "M6.5 3.5h7l4.5 4.5v12.5h-11.5Z M13 3.5V8.5h5",
  sliders: "M4 8h9 M17 8h3 M15 10a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z M4 16h3 M11 16h9 M9 18a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
};
const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

// h("a.link", {href: "/", onclick: f, hidden: true}, "text", child): null and false children are left out.
export function h(what, properties = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, it] of Object.entries(value)) element.style.setProperty(key, it);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

// For a link that the page follows itself; with a modifier key the browser opens it as any other.
export const plain = (event) =>
  event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);

let timer = 0;

// A sentence that goes away by itself.
export function notice(text) {
  const box = $("notice");
  box.textContent = text;
  box.classList.add("on");
  clearTimeout(timer);
  timer = setTimeout(() => box.classList.remove("on"), Math.max(2600, text.length * 60));
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // an address that is not this machine's, without TLS
    const area = h("textarea.unseen", { readonly: true });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  notice(`${what} copied`);
}

let busy = 0;

// The line at the top of the page while `promise` is awaited.
export async function during(promise) {
  busy += 1;
  $("progress").classList.add("on");
  try {
    return await promise;
  } finally {
    busy -= 1;
    if (!busy) $("progress").classList.remove("on");
  }
}
