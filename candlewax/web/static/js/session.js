// State machine of the page: the chosen series, its stream, and every read.
// It is pure: `step` takes a state and an event, and returns the next state with the effects to
// run. The runner (runner.js) makes requests, timers and streams; the view draws.
//
// A series may have a time, `at`: then the candles around it are read. `later` is the link to the
// candles after them, and null once they reach the present.

export const SILENCE_MS = 10_000;
export const DEADLINE_MS = 20_000;
export const RELOAD_MS = 1_000;

const BACKOFF_MS = [500, 1_000, 2_000, 4_000, 8_000];

export const backoff = (attempt) => BACKOFF_MS[Math.min(attempt, BACKOFF_MS.length) - 1];

// Reads of the chosen series, and reads of the whole page.
export const OF_SERIES = ["candles", "trades", "gaps"];
export const OF_PAGE = ["about", "symbols", "health"];

// Reads of more candles, before and after those that are drawn.
const PAGES = ["earlier", "later"];

// Milliseconds until a read that was answered is repeated; null for never.
const PERIODS_MS = {
  health: () => 5_000,
  symbols: (rows) => (rows.length ? null : 500),
};

// Trades that wait for their read; the tape holds no more.
const MAX_EARLY_TRADES = 60;

const idle = () => ({ phase: "idle", id: 0, attempt: 0, again: false, shown: false, error: null, early: [] });

export function initial() {
  const names = [...OF_SERIES, ...PAGES, ...OF_PAGE];
  return {
    series: null,
    last: 0,
    next: null,
    later: null,
    stream: { phase: "closed", id: 0, attempt: 0, heard: false, away: null },
    reads: Object.fromEntries(names.map((name) => [name, idle()])),
  };
}

export function isSame(one, other) {
  return Boolean(one && other)
    && ["exchange", "symbol", "timeframe"].every((name) => one[name] === other[name]);
}

// Live: the series is loaded, its stream is open, and the server reaches its database.
export function isLive(state) {
  return state.stream.phase === "open" && state.stream.away === null && state.reads.candles.phase === "loaded";
}

export function step(before, event) {
  const state = structuredClone(before);
  const effects = [];
  const handle = HANDLERS[event.type];
  if (!handle) throw new Error(`no such event: ${event.type}`);
  handle(state, event, effects);
  return [state, effects];
}

const HANDLERS = {
  begin(state, _, effects) {
    for (const part of OF_PAGE) load(state, part, effects);
  },

  choose(state, { series }, effects) {
    if (isSame(state.series, series) && (state.series.at ?? null) === (series.at ?? null)) return;
    if (["opening", "open"].includes(state.stream.phase)) effects.push({ type: "close", id: state.stream.id });
    for (const part of [...OF_SERIES, ...PAGES]) drop(state, part, effects);
    state.series = { ...series };
    state.next = state.later = null;
    state.stream.attempt = 0;
    effects.push({ type: "clear", series: state.series });
    openStream(state, effects);
  },

  opened(state, { id }, effects) {
    if (id !== state.stream.id || state.stream.phase !== "opening") return;
    Object.assign(state.stream, { phase: "open", heard: true });
    // The stream is open before the read starts, so no change is lost between them.
    for (const part of OF_SERIES) {
      state.reads[part].early = [];
      load(state, part, effects);
    }
  },

  lost(state, { id }, effects) {
    if (id === state.stream.id && ["opening", "open"].includes(state.stream.phase)) loseStream(state, effects);
  },

  heard(state, { id }) {
    if (isCurrent(state, id)) hear(state);
  },

  news(state, { id, part, series, rows }, effects) {
    if (!isCurrent(state, id) || !isSame(series, state.series)) return;
    hear(state);
    const read = state.reads[part];
    if (read.shown) effects.push({ type: "merge", part, rows, isPast: part === "candles" && state.later !== null });
    if (read.phase !== "loaded") read.early = keep(part, [...read.early, ...rows]);
    const { later } = state.reads;
    if (part === "candles" && later.phase === "loading") later.early = keep(part, [...later.early, ...rows]);
  },

  // `away` is the reason, or null once the database is back; a reset then repeats the reads.
  database(state, { id, away }) {
    if (!isCurrent(state, id)) return;
    hear(state);
    state.stream.away = away;
  },

  reset(state, { id }, effects) {
    if (!isCurrent(state, id)) return;
    hear(state);
    for (const part of OF_SERIES) {
      // Updates from before the reset must not overwrite what is read after it.
      state.reads[part].early = [];
      loadAgain(state, part, effects);
    }
    drop(state, "later", effects);
  },

  refresh(state, { part }, effects) {
    loadAgain(state, part, effects);
  },

  earlier(state, _, effects) {
    if (state.next && state.reads.candles.shown && state.reads.earlier.phase === "idle") load(state, "earlier", effects);
  },

  // Only beside a stream: what changes while the candles are read is in its events.
  later(state, _, effects) {
    if (state.later && isLive(state) && state.reads.later.phase === "idle") load(state, "later", effects);
  },

  answered(state, { id, value }, effects) {
    const part = partOf(state, id, "loading");
    if (!part) return;
    const read = state.reads[part];
    const { again, early } = read;
    Object.assign(read, { phase: "loaded", attempt: 0, error: null, again: false, shown: true, early: [] });
    effects.push({ type: "abort", id }, { type: "show", part, series: state.series, value });
    if (part === "earlier") {
      state.next = value.next;
      read.phase = "idle";
      return;
    }
    if (part === "later") {
      read.phase = "idle";
      if (value.later === null && early.length) effects.push({ type: "merge", part: "candles", rows: early, isPast: false });
      return reach(state, value.later);
    }
    if (part === "candles") {
      state.next = value.next;
      drop(state, "earlier", effects);
      reach(state, value.later ?? null);
    }
    if (early.length) effects.push({ type: "merge", part, rows: early, isPast: part === "candles" && state.later !== null });
    const pause = again ? RELOAD_MS : PERIODS_MS[part]?.(value) ?? null;
    if (pause !== null) wait(state, read, pause, effects);
  },

  failed(state, { id, error }, effects) {
    const part = partOf(state, id, "loading");
    if (part) fail(state, part, error, effects);
  },

  elapsed(state, { id }, effects) {
    if (id === state.stream.id) return streamElapsed(state, effects);
    const waiting = partOf(state, id, "waiting");
    if (waiting) return load(state, waiting, effects);
    const loading = partOf(state, id, "loading");
    if (loading) fail(state, loading, { kind: "timeout", message: "no answer in time" }, effects);
  },
};

function isCurrent(state, id) {
  return id === state.stream.id && state.stream.phase === "open";
}

function hear(state) {
  Object.assign(state.stream, { heard: true, attempt: 0 });
}

// Candles that reach the present are read again without a time.
function reach(state, later) {
  state.later = later;
  if (later === null) state.series = { ...state.series, at: null };
}

function openStream(state, effects) {
  Object.assign(state.stream, { phase: "opening", id: ++state.last, heard: false, away: null });
  effects.push({ type: "open", id: state.last, series: state.series });
  effects.push({ type: "wait", id: state.last, ms: SILENCE_MS });
}

function loseStream(state, effects) {
  const { stream } = state;
  effects.push({ type: "close", id: stream.id });
  drop(state, "later", effects);
  wait(state, stream, backoff(++stream.attempt), effects);
  // Reads may work although the stream does not.
  for (const part of OF_SERIES) {
    if (state.reads[part].phase === "idle") load(state, part, effects);
  }
}

function streamElapsed(state, effects) {
  const { stream } = state;
  if (stream.phase === "waiting") return openStream(state, effects);
  if (!stream.heard) return loseStream(state, effects);
  stream.heard = false;
  effects.push({ type: "wait", id: stream.id, ms: SILENCE_MS });
}

function load(state, part, effects) {
  const read = state.reads[part];
  if (part === "candles") drop(state, "later", effects);
  if (read.phase === "loading") effects.push({ type: "abort", id: read.id });
  Object.assign(read, { phase: "loading", id: ++state.last, again: false });
  const next = { earlier: state.next, later: state.later }[part] ?? null;
  effects.push({ type: "read", id: read.id, part, series: state.series, next });
  effects.push({ type: "wait", id: read.id, ms: DEADLINE_MS });
}

function loadAgain(state, part, effects) {
  const read = state.reads[part];
  if (read.phase === "loading") read.again = true;
  if (read.phase === "loaded") wait(state, read, RELOAD_MS, effects);
}

function fail(state, part, error, effects) {
  const read = state.reads[part];
  effects.push({ type: "abort", id: read.id });
  read.error = error;
  effects.push({ type: "unread", part, error });
  wait(state, read, backoff(++read.attempt), effects);
}

function wait(state, waiting, ms, effects) {
  Object.assign(waiting, { phase: "waiting", id: ++state.last });
  effects.push({ type: "wait", id: waiting.id, ms });
}

function drop(state, part, effects) {
  if (["loading", "waiting"].includes(state.reads[part].phase)) effects.push({ type: "abort", id: state.reads[part].id });
  state.reads[part] = idle();
}

function partOf(state, id, phase) {
  return Object.keys(state.reads).find((part) => state.reads[part].id === id && state.reads[part].phase === phase);
}

// Bounds waiting rows: of each candle the latest, of trades the last few.
function keep(part, rows) {
  if (part !== "candles") return rows.slice(-MAX_EARLY_TRADES);
  return [...new Map(rows.map((row) => [row.window_start, row])).values()];
}
