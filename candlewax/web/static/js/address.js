// The series in the address: #exchange/symbol/timeframe, and @time if the chart looks at the past.

import { SECONDS } from "./timeframes.js";

export function addressOf({ exchange, symbol, timeframe, at }) {
  const past = at ? `@${new Date(at * 1000).toISOString().slice(0, 19)}Z` : "";
  return `#${exchange}/${symbol}/${timeframe}${past}`;
}

// Returns the series; null if there is none; throws an error with the reason if it is wrong.
export function seriesOf(hash) {
  if (hash.length < 2) return null;
  let text;
  try {
    text = decodeURIComponent(hash);
  } catch {
    text = hash;
  }
  const [, exchange, symbol, timeframe, time] = text.match(/^#(\w+)\/(.+)\/(\w+)(?:@(.+))?$/) ?? [];
  const example = "#binance/BTC/USDT/1m";
  if (!exchange) throw new Error(`The address names no market: ${text} is not like ${example}.`);
  if (!Object.hasOwn(SECONDS, timeframe)) {
    throw new Error(`The address names no timeframe: ${timeframe} is not one of ${Object.keys(SECONDS).join(", ")}.`);
  }
  const ms = time === undefined ? null : Date.parse(time);
  if (Number.isNaN(ms)) throw new Error(`The address names no time: ${time} is not like 2026-09-14T22:00:00Z.`);
  return { exchange, symbol, timeframe, at: ms === null ? null : Math.floor(ms / 1000) };
}
