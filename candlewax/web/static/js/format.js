// Formatting of figures. Amounts arrive as text and are shown without a conversion to numbers.

const GROUPS = /\B(?=(\d{3})+(?!\d))/g;

export const MAX_DECIMALS = 12;

export function digits(text) {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}

export function grouped(text) {
  const [whole, rest] = text.split(".");
  return whole.replace(GROUPS, ",") + (rest === undefined ? "" : "." + rest);
}

export const count = (number) => grouped(String(number));

// Pads to at least `places` decimals, so that columns of prices align.
export function price(text, places) {
  const [whole, rest = ""] = text.split(".");
  const padded = rest.padEnd(places, "0");
  return grouped(padded ? `${whole}.${padded}` : whole);
}

// Shortens an amount: of a large one two decimals, of a small one its first four digits.
export function short(text) {
  const value = Number(text);
  for (const [bound, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "K"]]) {
    if (value >= bound) return grouped((value / (unit === "K" ? 1e3 : bound)).toFixed(2)) + unit;
  }
  const [whole, rest = ""] = text.split(".");
  const zeros = whole === "0" ? rest.match(/^0*/)[0].length : 0;
  const kept = rest.slice(0, zeros + (whole === "0" ? 4 : 5));
  return grouped(kept ? `${whole}.${kept}` : whole);
}

export function percent(open, close) {
  const change = (Number(close) / Number(open) - 1) * 100;
  const shown = grouped(Math.abs(change).toFixed(2));
  return { text: `${change < 0 && shown !== "0.00" ? "−" : "+"}${shown}%`, up: change >= 0 };
}

export function rate(value) {
  return value >= 100 ? count(Math.round(value)) : value.toFixed(1);
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1000 ? `${grouped((value / 1000).toFixed(1))} s` : `${Math.round(value)} ms`;
}

export const EXCHANGES = {
  binance: "Binance",
  binance_usdm: "Binance USD-M",
  kraken: "Kraken",
  coinbase: "Coinbase",
  okx: "OKX",
  binance_coinm: "Binance COIN-M",
  binance_us: "Binance.US",
  bybit: "Bybit",
  bybit_linear: "Bybit linear",
  bitstamp: "Bitstamp",
  gemini: "Gemini",
  kraken_futures: "Kraken Futures",
  bitfinex: "Bitfinex",
};
