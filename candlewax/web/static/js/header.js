// Header: the chosen market and its price.

import { EXCHANGES, percent, price } from "./format.js";
import { prefs } from "./prefs.js";

const byId = (id) => document.getElementById(id);

const key = ({ exchange, symbol }) => `${exchange} ${symbol}`;

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
  showFavourite({ exchange, symbol });
}

export function showFavourite(market) {
  const isFavourite = prefs.favourites.includes(key(market));
  const button = byId("favourite");
  button.hidden = false;
  button.textContent = isFavourite ? "★" : "☆";
  button.setAttribute("aria-pressed", String(isFavourite));
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
  const earlier = quote?.open24 ?? quote?.open ?? null;
  const moved = earlier === null ? null : percent(earlier, quote.close);
  const span = moved ? `${moved.text} ${quote.open24 === null ? "today" : "24h"}` : "";
  if (change.textContent !== span) change.textContent = span;
  change.className = moved ? `change ${moved.up ? "up" : "down"}` : "change";
}
