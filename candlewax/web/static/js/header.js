// Header: the chosen market and its price.

import { EXCHANGES, percent, price } from "./format.js";

const byId = (id) => document.getElementById(id);

export function nameSeries({ exchange, symbol, timeframe }) {
  byId("symbol").textContent = symbol;
  byId("exchange").textContent = EXCHANGES[exchange] ?? exchange;
  document.title = `${symbol} · Candlewax`;
  for (const button of byId("frames").children) {
    button.setAttribute("aria-pressed", String(button.dataset.timeframe === timeframe));
  }
  const shown = byId("price");
  shown.value = "";
  delete shown.dataset.moved;
  delete shown.dataset.close;
}

export function showPrice(quote, places) {
  const shown = byId("price");
  const change = byId("change");
  const text = quote ? price(quote.close, places) : "";
  if (quote && shown.value && shown.value !== text) {
    shown.dataset.moved = Number(quote.close) > Number(shown.dataset.close) ? "up" : "down";
  }
  if (shown.value !== text) shown.value = text;
  shown.dataset.close = quote?.close ?? "";
  const moved = quote && quote.open !== null ? percent(quote.open, quote.close) : null;
  const today = moved ? `${moved.text} today` : "";
  if (change.textContent !== today) change.textContent = today;
  change.className = moved ? `change ${moved.up ? "up" : "down"}` : "change";
}
