// What the page says of its own state, in the chart and beside the status of the feeds. Pure.

import { isLive } from "./session.js";

const AWAY = "The server does not answer. Asking again…";

export function isDatabaseAway(error) {
  return error?.status === 503 && error.code === "database_away";
}

// Our own refusals for now; what stands before the server has no code for its own.
function isBusy(error) {
  return error?.status === 503 && Boolean(error.code) && !isDatabaseAway(error);
}

function word(error) {
  if (isDatabaseAway(error)) return "database";
  return isBusy(error) ? "busy" : "retrying";
}

function reason(error) {
  if (error.kind === "network" || error.kind === "timeout") return AWAY;
  if (isDatabaseAway(error)) return `The database is away: ${error.message}. Asking again…`;
  if (isBusy(error)) return `The server is busy: ${error.message}. Asking again…`;
  return `${error.message}. Asking again…`;
}

// One word for programs and a sentence for people; no sentence where there is nothing to say.
export function condition(state, drawn) {
  const { candles, health, symbols } = state.reads;
  if (!state.series) {
    if (symbols.error) return { word: "lost", text: reason(symbols.error) };
    return { word: "loading", text: symbols.shown ? "Waiting for the first trades…" : "Asking for the markets…" };
  }
  const { symbol, timeframe } = state.series;
  if (candles.error) return { word: word(candles.error), text: reason(candles.error) };
  if (isDatabaseAway(health.error)) return { word: "database", text: reason(health.error) };
  if (state.stream.away !== null) {
    return { word: "database", text: `The database is away: ${state.stream.away}. What is shown may be old. Asking again…` };
  }
  if (!candles.shown) return { word: "loading", text: `Loading ${symbol} ${timeframe}…` };
  if (state.stream.phase === "waiting" || (state.stream.phase === "opening" && state.stream.attempt)) {
    return { word: "lost", text: "The server does not answer: what is shown may be old. Asking again…" };
  }
  if (!isLive(state)) return { word: "loading", text: drawn ? "" : `Loading ${symbol} ${timeframe}…` };
  return { word: "live", text: drawn ? "" : `No candles of ${symbol} ${timeframe} yet.` };
}
