// Numbers, dates and places in words.

export const count = (number) => number.toLocaleString("en");

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function bytes(number) {
  let unit = 0;
  while (number >= 1000 && unit < 4) { number /= 1000; unit += 1; }
  const digits = unit && number < 100 ? 1 : 0;
  return `${number.toFixed(digits)} ${["bytes", "KB", "MB", "GB", "TB"][unit]}`;
}

// Times of cameras have no zone: they are shown as they are written, wherever the reader is.
const clock = (text) => new Date(`${text.slice(0, 19)}Z`);
const written = (options) => {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", ...options });
  return (text) => format.format(clock(text));
};
export const date = written({ day: "numeric", month: "long", year: "numeric" });
export const time = written({ hour: "2-digit", minute: "2-digit" });
export const month = written({ month: "long", year: "numeric" });
export const moment = (text) => `${date(text)}, ${time(text)}`;

export function pixels(width, height) {
  const total = (width * height) / 1e6;
  return `${width} × ${height}${total >= 0.95 ? ` · ${total.toFixed(total < 9.95 ? 1 : 0)} MP` : ""}`;
}

export function place(latitude, longitude) {
  const one = (value, positive, negative) => `${Math.abs(value).toFixed(5)}° ${value < 0 ? negative : positive}`;
  return `${one(latitude, "N", "S")}, ${one(longitude, "E", "W")}`;
}

export const percent = (part) => (part > 0 && part < 0.01 ? "< 1%" : `${Math.floor(part * 100)}%`);

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
