// What the server is asked for, and what it tells by itself.

const BASE = "/api/v1";

async function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  const answer = await fetch(`${BASE}/${path}?${query}`);
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error.message), { code: body.error.code });
  return body;
}

export const about = () => fetch(BASE).then((answer) => answer.json());

export const symbols = () => get("symbols").then((body) => body.data);

export function candles({ exchange, symbol, timeframe }, limit, to) {
  return get(`ohlcv/${timeframe}`, { exchange, symbol, limit, ...(to ? { to } : {}) });
}

export function trades({ exchange, symbol }, limit) {
  return get("trades", { exchange, symbol, limit }).then((body) => body.data);
}

export function gaps({ exchange, symbol }) {
  return get("gaps", { exchange, symbol }).then((body) => body.data);
}

// Listens until closed; the browser itself connects again when the connection breaks.
export function stream(series, hears, onState) {
  const source = new EventSource(`${BASE}/stream?${new URLSearchParams(series)}`);
  let was = false;
  source.onopen = () => {
    if (was) hears.reset();
    was = true;
    onState(true);
  };
  source.onerror = () => onState(false);
  for (const [name, hear] of Object.entries(hears)) {
    source.addEventListener(name, (event) => hear(JSON.parse(event.data)));
  }
  return () => source.close();
}
