// What the page shows, kept in its address: back, forward, reload and a copied link all work.

const TEXTS = ["q", "folder", "from", "to", "camera", "format", "shape", "size", "where", "all", "view", "kind", "open"];
const LISTS = ["minus", "like", "unlike", "image", "unimage"];
const OWN = ["view", "kind", "open"]; // of the page alone, not of a search
export const QUERY = ["q", ...LISTS];
export const FILTERS = ["folder", "from", "to", "camera", "format", "shape", "size", "where"];

const listeners = [];
export let state = read();

function read() {
  const found = {};
  const parameters = new URLSearchParams(location.search);
  for (const name of TEXTS) found[name] = parameters.get(name) ?? "";
  for (const name of LISTS) found[name] = parameters.getAll(name);
  return found;
}

function parametersOf(some) {
  const parameters = new URLSearchParams();
  for (const name of [...QUERY, ...TEXTS.filter((it) => it !== "q")]) {
    for (const value of [some[name] ?? ""].flat()) if (value) parameters.append(name, value);
  }
  return parameters;
}

// The address of a state; of the present one with `changes`.
export function address(changes = {}) {
  const text = parametersOf({ ...state, ...changes }).toString();
  return text ? `/?${text}` : "/";
}

// What is asked of the server; also the name under which the page remembers the answer.
export function search(some = state) {
  const parameters = parametersOf(some);
  for (const name of OWN) parameters.delete(name);
  return parameters.toString();
}

export const nothing = (names) => Object.fromEntries(names.map((name) => [name, LISTS.includes(name) ? [] : ""]));
export const any = (names, some = state) => names.some((name) => some[name].length > 0);

// `heard(state, previous, how)`: how is "start", "go" or "back" (back and forward).
export function subscribe(heard) {
  listeners.push(heard);
}

export function start() {
  history.scrollRestoration = "manual";
  addEventListener("popstate", () => change(read(), "back"));
  change(state, "start");
}

// Change the state: a new entry of the history, or with `replace` the present one.
export function go(changes, { replace = false } = {}) {
  const next = address(changes);
  if (next === location.pathname + location.search && !replace) return;
  if (replace) history.replaceState(history.state, "", next);
  else history.pushState({ depth: depth() + 1 }, "", next);
  change(read(), "go");
}

// Leave what was opened: back where the page itself came from there, else forward to a state without it.
export function leave(changes) {
  if (depth() > 0) history.back();
  else go(changes, { replace: true });
}

function depth() {
  return history.state?.depth ?? 0;
}

function change(next, how) {
  const previous = state;
  state = next;
  for (const heard of listeners) heard(state, previous, how);
}
