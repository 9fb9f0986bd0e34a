// Options of the chart's axes: grouped prices, and times in the chosen zone.

import { PriceScaleMode } from "../vendor/lightweight-charts/lightweight-charts.mjs";
import { MAX_DECIMALS, digits, grouped } from "./format.js";
import { prefs } from "./prefs.js";
import { candleTime, tick } from "./time.js";

export function timeOptions(isDaily) {
  return {
    localization: { timeFormatter: (time) => candleTime(time * 1000, isDaily) },
    timeScale: { timeVisible: !isDaily, tickMarkFormatter: (time) => tick(time * 1000, isDaily) },
  };
}

export const scaleOptions = () => ({ mode: prefs.isLog ? PriceScaleMode.Logarithmic : PriceScaleMode.Normal });

// Decimals of the last prices, so that small prices show all of theirs.
export function placesOf(rows) {
  const shown = rows.map((row) => digits(row.close));
  return Math.min(MAX_DECIMALS, Math.max(2, ...shown));
}

export function priceFormat(places) {
  return {
    type: "custom",
    minMove: 10 ** -places,
    formatter: (value) => grouped(value.toFixed(places)).replace("-", "−"),
  };
}
