// Requests to the API, and its event stream.

const BASE = "/api/v1";
const PAGE = 1000;
const TRADES = 40;

async function get(path, signal) {
  let answer;
  try {
    answer = await fetch(path, { signal, cache: "no-cache" });
  } catch (error) {
    throw Object.assign(new Error(error.message), { kind: "network" });
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body !== null) return body;
  const { code, message } = body?.error ?? {};
  const text = message ?? `The server answered ${answer.status} ${answer.statusText}`.trim();
  throw Object.assign(new Error(text), { kind: "refused", status: answer.status, code });
}

function market(path, { exchange, symbol }, more = {}) {
  return `${BASE}/${path}?${new URLSearchParams({ exchange, symbol, ...more })}`;
}

const PATHS = {
  about: () => BASE,
  symbols: () => `${BASE}/symbols`,
  health: () => `${BASE}/health`,
  candles: (series) => market(`ohlcv/${series.timeframe}`, series, { limit: PAGE }),
  trades: (series) => market("trades", series, { limit: TRADES }),
  gaps: (series) => market("gaps", series),
  earlier: (_, next) => next,
};

const LISTS = ["symbols", "trades", "gaps"];

export async function read(part, series, next, signal) {
  const body = await get(PATHS[part](series, next), signal);
  return LISTS.includes(part) ? body.data : body;
}

// Receives events until closed. EventSource's own reconnect is not used: it gives up for good if
// a response is not an event stream.
export function stream({ exchange, symbol, timeframe }, { onOpen, onLost, onEvent }) {
  const source = new EventSource(market("stream", { exchange, symbol }, { timeframe }));
  source.onopen = onOpen;
  source.onerror = () => {
    source.close();
    onLost();
  };
  for (const name of ["candles", "trades", "tickers", "health", "database", "reset"]) {
    source.addEventListener(name, (event) => onEvent(name, JSON.parse(event.data)));
  }
  return () => source.close();
}
