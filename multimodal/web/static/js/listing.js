// One list of pictures, loaded bit by bit as the page scrolls; the latest ones are remembered for going back.

import { get } from "./api.js";

const AT_ONCE = 80;
const REMEMBERED = 12;
const known = new Map();

export class Listing {
  constructor(search) {
    this.search = search;
    this.items = [];
    this.offset = 0; // of the next bit
    this.found = null; // pictures that this list has
    this.total = 0; // pictures that were looked at
    this.most = null; // results that a search gives at most
    this.nearest = null;
    this.scroll = 0;
    this.current = 0; // place of the tile that the keys are on
    this.loading = null;
    this.stop = new AbortController();
  }

  get done() {
    return this.found !== null && this.offset >= this.found;
  }

  // Load the next bit; false when there is none.
  async more() {
    if (this.done) return false;
    this.loading ??= this.#load().finally(() => { this.loading = null; });
    await this.loading;
    return true;
  }

  async #load() {
    const part = `offset=${this.offset}&limit=${AT_ONCE}`;
    const answer = await get(`/api/search?${this.search ? `${this.search}&` : ""}${part}`, this.stop.signal);
    const there = new Set(this.items.map((item) => item.id)); // the index may have grown meanwhile
    this.items.push(...answer.items.filter((item) => !there.has(item.id)));
    Object.assign(this, { total: answer.total, most: answer.most, nearest: answer.nearest });
    this.offset += answer.items.length;
    this.found = answer.items.length ? answer.found : this.offset;
  }
}

// The list of a search: the remembered one when going back, else a new one.
export function listing(search, remembered) {
  if (!(remembered && known.has(search))) known.set(search, new Listing(search));
  const found = known.get(search);
  known.delete(search);
  known.set(search, found); // the newest is the last
  if (known.size > REMEMBERED) known.delete(known.keys().next().value);
  return found;
}
