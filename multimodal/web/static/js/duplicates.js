// Files that are the same picture, side by side, with what tells them apart.

import { get, thumbnail } from "./api.js";
import { $, copy, during, h, icon, plain } from "./dom.js";
import { bytes, date, pixels, plural } from "./format.js";
import { address, go, state } from "./state.js";

const AT_ONCE = 30;
const KINDS = {
  exact: ["Exact copies", "The same file, byte for byte."],
  near: ["Near copies", "The same picture, saved in another size, format or quality."],
};
const box = $("duplicates");
let asked = 0;

export async function render() {
  const kind = state.kind in KINDS ? state.kind : "exact";
  const mine = (asked += 1);
  const [lead, list, end] = [h("p.lead", { role: "status" }, "Looking…"), h("div.groups"), h("p.end")];
  document.title = "Duplicates – Photo search";
  box.replaceChildren(h("div.dups", {}, h("header", {}, h("h1", {}, "Duplicates"), switcher(kind)), lead, list, end));
  scrollTo({ top: 0, behavior: "instant" });
  let shown = 0;
  let found = Infinity;
  const more = async () => {
    const answer = await during(get(`/api/duplicates?kind=${kind}&offset=${shown}&limit=${AT_ONCE}`));
    if (mine !== asked) return;
    found = answer.found;
    shown += AT_ONCE;
    lead.textContent = words(kind, answer);
    list.append(...answer.groups.map(group));
  };
  const guarded = () => more().catch((error) => {
    found = 0; // else it is asked again at once, for as long as the end of the page is in sight
    if (mine === asked) lead.textContent = error.message;
  });
  await guarded();
  const watcher = new IntersectionObserver(async ([entry]) => {
    if (mine !== asked || shown >= found) watcher.disconnect();
    else if (entry.isIntersecting) {
      watcher.unobserve(end);
      await guarded();
      watcher.observe(end);
    }
  }, { rootMargin: "800px" });
  watcher.observe(end);
}

function switcher(kind) {
  return h("nav.switch", { "aria-label": "Kind of duplicates" }, Object.entries(KINDS).map(([name, [title]]) =>
    h("a", { href: address({ kind: name }), "aria-current": name === kind ? "page" : null, onclick: (event) => {
      if (!plain(event)) return;
      event.preventDefault();
      go({ kind: name }, { replace: true });
    } }, title)));
}

function words(kind, { found, spare_files: files, spare_bytes: size }) {
  const what = KINDS[kind][1];
  if (!found) return `${what} There are none among these pictures.`;
  return `${what} ${plural(found, "picture")} ${found === 1 ? "has" : "have"} ${plural(files, "spare file")}, ${bytes(size)} in all.`;
}

function group(rows) {
  const best = rows.reduce((one, other) => (rank(other) > rank(one) ? other : one));
  const spare = rows.filter((row) => row !== best);
  const same = (name) => rows.every((row) => row[name] === rows[0][name]);
  const exact = same("hash");
  return h(`section.group${rows.length > 2 ? ".many" : ""}`, { "aria-label": `${rows.length} files of one picture` },
    h("header", {}, h("span", {}, h("b", {}, `${rows.length} files`), exact ? ", the same bytes" : ""),
      h("button.link", { type: "button", onclick: () => copy(spare.map((row) => row.path).join("\n"), plural(spare.length, "path")) },
        exact ? "Copy the paths of all but the first" : "Copy the paths of all but the largest")),
    h("div.sides", {}, [best, ...spare].map((row) => side(row, !exact && row === best, same))));
}

const rank = (row) => (row.width ?? 0) * (row.height ?? 0) * 1e10 + row.bytes;

function side(row, largest, same) {
  const fact = (names, text) => h(names.every(same) ? "span" : "b", {}, text);
  const folder = row.path.slice(0, Math.max(0, row.path.length - row.name.length - 1));
  return h("article.side", {},
    h("a.pic", { href: address({ open: row.id }), "aria-label": `Open ${row.name}`, onclick: (event) => {
      if (!plain(event)) return;
      event.preventDefault();
      go({ open: row.id });
    } }, h("img", { src: thumbnail(row), alt: "", loading: "lazy", decoding: "async" }), largest && h("span.badge", {}, "Largest")),
    h("div.name", {}, h("span", {}, row.name),
      h("button.icon", { type: "button", "aria-label": `Copy the path of ${row.name}`, title: "Copy the path",
        onclick: () => copy(row.path, "Path") }, icon("copy"))),
    h("p.where", {}, folder),
    h("div.facts", {}, row.width && fact(["width", "height"], pixels(row.width, row.height)),
      h("span", {}, fact(["format"], row.format ?? ""), " · ", fact(["bytes"], bytes(row.bytes))),
      row.taken ? fact(["taken"], `Taken ${date(row.taken)}`) : row.modified && fact(["modified"], `Written ${date(row.modified)}`)));
}
