// What is asked of the server. A refusal is an `Error` whose message is a sentence for people.

export async function get(path, signal) {
  return answer(() => fetch(path, { signal }));
}

export async function upload(file, most = 32) {
  if (file.size > most * 2 ** 20) throw new Error(`The picture has more than ${most} MB; search with a smaller one.`);
  const found = await answer(() =>
    fetch("/api/upload", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } }));
  return found.name;
}

async function answer(ask) {
  let response;
  try {
    response = await ask();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer; is it still running in its terminal?");
  }
  let found;
  try {
    found = await response.json();
  } catch {
    throw new Error("The server did not understand this; perhaps it is too long.");
  }
  if (!response.ok) throw new Error(found.error);
  return found;
}

export const thumbnail = (tile) => `/thumbnail/${encodeURIComponent(tile.id)}?v=${tile.version}`;
export const image = (id) => `/image/${encodeURIComponent(id)}`;

const known = new Map();

// Everything about one picture; remembered, because one steps back and forth.
export function details(id) {
  if (!known.has(id)) {
    const asked = get(`/api/picture/${encodeURIComponent(id)}`);
    asked.catch(() => known.delete(id));
    known.set(id, asked);
    if (known.size > 200) known.delete(known.keys().next().value);
  }
  return known.get(id);
}
