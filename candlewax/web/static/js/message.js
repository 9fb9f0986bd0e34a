// Messages about the state of the page, in the chart and in the status. Pure functions.

import { isLive } from "./session.js";

const AWAY = "The server does not answer. Retrying…";

export function isDatabaseAway(error) {
  return error?.status === 503 && error.code === "database_away";
}

// A temporary refusal of the server itself: answers of a proxy have no code.
function isBusy(error) {
  return error?.status === 503 && Boolean(error.code) && !isDatabaseAway(error);
}

function word(error) {
  if (isDatabaseAway(error)) return "database";
  return isBusy(error) ? "busy" : "retrying";
}

function reason(error) {
  if (error.kind === "network" || error.kind === "timeout") return AWAY;
  if (isDatabaseAway(error)) return `The database is away: ${error.message}. Retrying…`;
  if (isBusy(error)) return `The server is busy: ${error.message}. Retrying…`;
  return `${error.message}. Retrying…`;
}

// Returns a word for programs and a sentence for people, empty if there is nothing to say.
export function condition(state, drawn) {
  const { candles, health, symbols } = state.reads;
  if (!state.series) {
    if (symbols.error) return { word: "lost", text: reason(symbols.error) };
    return { word: "loading", text: symbols.shown ? "Waiting for the first trades…" : "Loading the markets…" };
  }
  const { symbol, timeframe } = state.series;
  if (candles.error) return { word: word(candles.error), text: reason(candles.error) };
  if (isDatabaseAway(health.error)) return { word: "database", text: reason(health.error) };
  if (state.stream.away !== null) {
    return { word: "database", text: `The database is away: ${state.stream.away}. The data shown may be old. Retrying…` };
  }
  if (!candles.shown) return { word: "loading", text: `Loading ${symbol} ${timeframe}…` };
  if (state.stream.phase === "waiting" || (state.stream.phase === "opening" && state.stream.attempt)) {
    return { word: "lost", text: "The server does not answer: the data shown may be old. Retrying…" };
  }
  if (!isLive(state)) return { word: "loading", text: drawn ? "" : `Loading ${symbol} ${timeframe}…` };
  if (state.later !== null) return { word: "past", text: "" };
  return { word: "live", text: drawn ? "" : `No candles of ${symbol} ${timeframe} yet.` };
}
