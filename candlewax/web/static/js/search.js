// Which markets match what is typed, in what order.

import { EXCHANGES } from "./format.js";
import { prefs } from "./prefs.js";

export const key = ({ exchange, symbol }) => `${exchange} ${symbol}`;

const plain = (text) => text.toUpperCase().replace(/[^A-Z0-9]/g, "");

export const isFavourite = (market) => prefs.favourites.includes(key(market));

// Each word must be in the symbol or in the exchange's name; "btcusd" finds BTC/USD.
function matches(market, words) {
  const names = [market.symbol, EXCHANGES[market.exchange] ?? market.exchange, market.exchange].map(plain);
  return words.every((word) => names.some((name) => name.includes(word)));
}

// Of equal ones the busiest comes first: symbols that begin with the first word, then favourites.
export function search(markets, { text, exchange, onlyFavourites }) {
  const words = text.split(/\s+/).map(plain).filter(Boolean);
  const begins = ({ symbol }) => Number(words.length > 0 && plain(symbol).startsWith(words[0]));
  return [...markets]
    .filter((market) => !exchange || market.exchange === exchange)
    .filter((market) => !onlyFavourites || isFavourite(market))
    .filter((market) => matches(market, words))
    .sort((a, b) => begins(b) - begins(a) || isFavourite(b) - isFavourite(a)
      || (b.trades ?? 0) - (a.trades ?? 0) || key(a).localeCompare(key(b)));
}
