// Requests to the API, and its event stream.

import { SECONDS } from "./timeframes.js";

// Relative, as the page may be below a path of a proxy.
const BASE = "api/v1";
const PAGE = 1000;
const TRADES = 40;

// Candles before the time that the chart looks at; as many follow.
const BEFORE = PAGE / 2;

async function get(path, signal) {
  let answer;
  try {
    answer = await fetch(path, { signal, cache: "no-cache" });
  } catch (error) {
    throw Object.assign(new Error(error.message), { kind: "network" });
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body !== null) return body;
  const { code, message, parameter } = body?.error ?? {};
  // What a parameter takes is said without its name.
  const name = code === "bad_parameter" ? parameter : "";
  const text = message ? [name, message].filter(Boolean).join(" ") : `The server answered ${answer.status} ${answer.statusText}`.trim();
  throw Object.assign(new Error(text), { kind: "refused", status: answer.status, code });
}

function market(path, { exchange, symbol }, more = {}) {
  return `${BASE}/${path}?${new URLSearchParams({ exchange, symbol, ...more })}`;
}

const candlesPath = (series, more) => market(`ohlcv/${series.timeframe}`, series, { ...more, limit: PAGE });

const PATHS = {
  about: () => BASE,
  symbols: () => `${BASE}/symbols`,
  health: () => `${BASE}/health`,
  candles: (series) => candlesPath(series),
  trades: (series) => market("trades", series, { limit: TRADES }),
  gaps: (series) => market("gaps", series),
  earlier: (_, next) => next,
  later: (_, next) => next,
};

const LISTS = ["symbols", "trades", "gaps"];

// Returns the candles around a time, with links to earlier and later ones; the last ones if there
// are none from shortly before that time on.
async function readPast(series, signal) {
  const from = Math.max(0, series.at - BEFORE * SECONDS[series.timeframe]);
  const { data, next } = await get(candlesPath(series, { from }), signal);
  if (!data.length) return { ...await get(candlesPath(series), signal), later: null };
  return { data, next: from ? candlesPath(series, { to: from }) : null, later: next };
}

// Returns the open of a market's first candle from a time on; null if there is none.
export async function firstOpen(series, from) {
  const { data } = await get(market("ohlcv/1m", series, { from, limit: 1 }));
  return data[0]?.open ?? null;
}

// Returns the comparisons of a market's minutes that differ from the exchange's own candles.
export async function differing(series) {
  return (await get(market("reconciliations", series, { result: "differs", limit: PAGE }))).data;
}

// Returns candles over all markets of an asset.
export const consolidated = (timeframe, query, signal) => get(`${BASE}/consolidated/${timeframe}?${new URLSearchParams(query)}`, signal);

export async function read(part, series, next, signal) {
  if (part === "candles" && series.at) return readPast(series, signal);
  if (part === "later") {
    const { data, next: later } = await get(next, signal);
    return { data, later };
  }
  const body = await get(PATHS[part](series, next), signal);
  return LISTS.includes(part) ? body.data : body;
}

const EVENTS = ["candles", "trades", "tickers", "health", "database", "reset"];

// A browser opens at most six HTTP/1.1 connections to a server: event streams of six tabs would
// block all further requests. WebSockets do not count. Event streams are for proxies that refuse
// WebSockets.
let usesSocket = true;

// Receives events until closed. If the connection fails before it opens, the next call uses the
// other kind.
export function stream({ exchange, symbol, timeframe }, callbacks) {
  const path = market("stream", { exchange, symbol }, { timeframe });
  return usesSocket ? openSocket(path, callbacks) : openEvents(path, callbacks);
}

function openSocket(path, { onOpen, onLost, onEvent }) {
  const socket = new WebSocket(path);
  let hasOpened = false;
  socket.onopen = () => {
    hasOpened = true;
    onOpen();
  };
  socket.onclose = () => {
    usesSocket = hasOpened;
    onLost();
  };
  socket.onmessage = ({ data }) => {
    for (const [name, value] of JSON.parse(data)) onEvent(name, value);
  };
  return () => {
    socket.onclose = socket.onmessage = null;
    // Browsers log an error if a WebSocket is closed before it is open.
    socket.onopen = () => socket.close();
    if (socket.readyState !== WebSocket.CONNECTING) socket.close();
  };
}

// EventSource's own reconnect is not used: it gives up for good if a response is not an event
// stream.
function openEvents(path, { onOpen, onLost, onEvent }) {
  const source = new EventSource(path);
  let hasOpened = false;
  source.onopen = () => {
    hasOpened = true;
    onOpen();
  };
  source.onerror = () => {
    source.close();
    usesSocket = !hasOpened;
    onLost();
  };
  for (const name of EVENTS) source.addEventListener(name, (event) => onEvent(name, JSON.parse(event.data)));
  return () => source.close();
}
