// A search in words, for headings and the title of the page.

import { state } from "./state.js";

const quoted = (text) => `“${text.length > 80 ? `${text.slice(0, 80)}…` : text}”`;
const pictures = (list) => list.map(() => "the picture");

// "“red bike” and the picture, without “car”"
export function query(some = state) {
  const wanted = [...(some.q ? [quoted(some.q)] : []), ...pictures([...some.like, ...some.image])];
  const unwanted = [...some.minus.map(quoted), ...pictures([...some.unlike, ...some.unimage])];
  const first = wanted.join(" and ");
  if (!unwanted.length) return first;
  return first ? `${first}, without ${unwanted.join(" and ")}` : `anything but ${unwanted.join(" and ")}`;
}

// “a dog -"white wall" -leash” -> {q: “a dog”, minus: [“white wall”, “leash”]}
export function parse(text) {
  const minus = [];
  const q = text.replace(/(^|\s)[-−](?:"([^"]+)"|“([^”]+)”|(\p{L}[^\s]*))/gu, (_, before, one, two, three) => {
    minus.push((one ?? two ?? three).trim());
    return before;
  });
  return { q: q.replace(/\s+/g, " ").trim(), minus };
}
