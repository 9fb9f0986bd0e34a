// Formatting of figures. Amounts arrive as text and are shown without a conversion to numbers.

const GROUPS = /\B(?=(\d{3})+(?!\d))/g;

export function digits(text) {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

export function grouped(text) {
  const [whole, rest] = text.split(".");
  return whole.replace(GROUPS, ",") + (rest === undefined ? "" : "." + rest);
}

// Pads to at least `places` decimals, so that columns of prices align.
export function price(text, places) {
  const [whole, rest = ""] = text.split(".");
  const padded = rest.padEnd(places, "0");
  return grouped(padded ? `${whole}.${padded}` : whole);
}

export function short(text) {
  const value = Number(text);
  for (const [bound, unit] of [[1e9, "B"], [1e6, "M"], [1e4, "K"]]) {
    if (value >= bound) return (value / (unit === "K" ? 1e3 : bound)).toFixed(2) + unit;
  }
  return grouped(text.slice(0, 12));
}

export function percent(open, close) {
  const change = (Number(close) / Number(open) - 1) * 100;
  const shown = Math.abs(change).toFixed(2);
  return { text: `${change < 0 && shown !== "0.00" ? "−" : "+"}${shown}%`, up: change >= 0 };
}

export function rate(value) {
  return value >= 100 ? grouped(String(Math.round(value))) : value.toFixed(1);
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`;
}

export function clock(ms) {
  return new Date(ms).toISOString().slice(11, 19);
}

export function moment(seconds) {
  const text = new Date(seconds * 1000).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 16)}`;
}

export const EXCHANGES = {
  binance: "Binance",
  binance_usdm: "Binance USD-M",
  kraken: "Kraken",
  coinbase: "Coinbase",
};
