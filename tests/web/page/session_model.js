// A world around the state machine of the page: a server with tables and streams, a network that
// reorders, loses and delays, timers that end when a random choice says so. After each move the
// invariants are checked; at the end all is answered, and the page must have healed.
//
// The oracle is written by other rules than the machine: it knows what the server holds.

export const SERIES = [
  { exchange: "kraken", symbol: "ADA/EUR", timeframe: "1m" },
  { exchange: "kraken", symbol: "ADA/EUR", timeframe: "15m" },
  { exchange: "coinbase", symbol: "ADA/EUR", timeframe: "1m" },
  // The past of the first one.
  { exchange: "kraken", symbol: "ADA/EUR", timeframe: "1m", at: 7 },
];
const place = (row) => Number(row.window_start.slice(1));
const AWAY = { type: "database", away: "it does not answer" };
const PARTS = ["candles", "trades", "gaps"];
const name = ({ exchange, symbol, timeframe }) => `${exchange} ${symbol} ${timeframe}`;

export class World {
  constructor(machine) {
    this.machine = machine;
    this.state = machine.initial();
    this.tables = Object.fromEntries(SERIES.map((series) => [name(series), new Map([["w0", 1]])]));
    this.streams = new Map();
    this.requests = new Map();
    this.timers = new Map();
    this.drawn = null;
    this.isAway = false;
    this.moves = [];
    this.count = 1;
    this.now = 0;
  }

  // What a read of the tables gives now.
  rows(series) {
    return [...this.tables[name(series)]].map(([start, value]) => ({ window_start: start, value, of: name(series) }));
  }

  send(event) {
    this.moves.push(JSON.stringify(event));
    const before = JSON.stringify(this.state);
    const [state, effects] = this.machine.step(this.state, event);
    if (JSON.stringify(this.state) !== before) throw new Error("the machine changed the state it was given");
    this.state = state;
    for (const effect of effects) this[effect.type](effect);
    this.check();
  }

  clear({ series }) { this.drawn = { of: name(series), rows: new Map(), shown: false }; }

  show({ part, value }) {
    if (part !== "candles" && part !== "later") return;
    const kept = part === "later" ? this.drawn.rows : [];
    this.drawn.rows = new Map([...kept, ...value.data.map((row) => [row.window_start, row])]);
    this.drawn.shown = true;
  }

  // As the chart does: later rows than the last drawn one are not of the past.
  merge({ part, rows, isPast }) {
    if (part !== "candles") return;
    const last = Math.max(-1, ...[...this.drawn.rows.values()].map(place));
    for (const row of rows) if (!isPast || place(row) <= last) this.drawn.rows.set(row.window_start, row);
  }

  unread() {}

  open({ id, series }) { this.streams.set(id, { series, phase: "opening", events: [], isWanted: true }); }

  close({ id }) {
    if (this.streams.has(id)) this.streams.get(id).isWanted = false;
    this.timers.delete(id);
  }

  read({ id, part, series }) {
    if (part === "later" && !this.drawn.shown) throw new Error("later candles of nothing");
    this.requests.set(id, { part, series, isWanted: true, value: undefined });
  }

  abort({ id }) {
    if (this.requests.has(id)) this.requests.get(id).isWanted = false;
    this.timers.delete(id);
  }

  wait({ id, ms }) {
    if (!(ms > 0 && ms <= 20_000)) throw new Error(`a wait of ${ms} ms`);
    this.timers.set(id, this.now + ms);
  }

  check() {
    if (!this.drawn) return;
    const chosen = name(this.state.series);
    for (const row of this.drawn.rows.values()) {
      if (row.of !== chosen) throw new Error(`${row.of} is drawn under the name ${chosen}`);
    }
    if (this.machine.isLive(this.state)) {
      if (!this.drawn.shown) throw new Error("live, and nothing was loaded");
      const stream = this.streams.get(this.state.stream.id);
      if (!stream?.isWanted || stream.phase !== "open") throw new Error("live without a stream");
      if (!stream.events.length) this.compare("live");
    }
    const wanted = [...this.streams.values()].filter((one) => one.isWanted).length;
    if (wanted > 1) throw new Error(`${wanted} streams`);
    const parts = [...this.requests.values()].filter((one) => one.isWanted).map((one) => one.part);
    if (new Set(parts).size < parts.length) throw new Error(`asked twice at a time: ${parts}`);
    if (this.timers.size > 12) throw new Error(`${this.timers.size} timers`);
  }

  compare(when) {
    const text = (rows) => JSON.stringify([...rows].map((row) => [row.window_start, row.value]).sort());
    const last = Math.max(-1, ...[...this.drawn.rows.values()].map(place));
    const rows = this.rows(this.state.series).filter((row) => this.state.later === null || place(row) <= last);
    if (this.state.later === null && this.state.series.at) throw new Error("the present has a time");
    const [is, right] = [text(this.drawn.rows.values()), text(rows)];
    if (is !== right) throw new Error(`${when}: drawn ${is}, the server has ${right}`);
  }

  // What may happen now, each as a function.
  choices() {
    const found = SERIES.map((series) => () => this.send({ type: "choose", series }));
    for (const series of SERIES) {
      found.push(() => this.change(series, "w0"), () => this.change(series, `w${this.count}`));
    }
    found.push(() => this.miss());
    found.push(() => (this.isAway ? this.comeBack() : this.goAway()));
    if (this.state.series) {
      found.push(() => this.send({ type: "earlier" }), () => this.send({ type: "later" }), () => this.send({ type: "refresh", part: "gaps" }));
    }
    for (const id of this.streams.keys()) found.push(...this.choicesOfStream(id));
    for (const id of this.requests.keys()) found.push(...this.choicesOfRequest(id));
    for (const id of this.timers.keys()) found.push(() => this.elapse(id));
    return found;
  }

  // The moves of a server and a network that are well.
  progress() {
    const atWork = [...this.streams.keys()].filter((id) => this.isAtWork(this.streams.get(id)));
    const asked = [...this.requests.keys()].filter((id) => !this.requests.get(id).isHung);
    return [...atWork.map((id) => this.choicesOfStream(id)[0]), ...asked.map((id) => this.choicesOfRequest(id)[0])];
  }

  choicesOfStream(id) {
    const stream = this.streams.get(id);
    const lose = () => { this.streams.delete(id); this.send({ type: "lost", id }); };
    if (stream.isHung) return [lose];
    const others = [lose, () => { stream.isHung = true; }, () => this.misdeliver(id)];
    if (stream.phase === "opening") return [() => this.accept(id), ...others];
    return stream.events.length ? [() => this.deliver(id), ...others] : others;
  }

  choicesOfRequest(id) {
    const request = this.requests.get(id);
    const fail = () => { this.requests.delete(id); this.send({ type: "failed", id, error: { kind: "network" } }); };
    if (request.isHung || (this.isAway && request.value === undefined)) return [fail];
    const others = [fail, () => { request.isHung = true; }];
    return [request.value === undefined ? () => this.answer(id) : () => this.arrive(id), ...others];
  }

  change(series, start) {
    this.tables[name(series)].set(start, ++this.count);
    const row = { window_start: start, value: this.count, of: name(series) };
    for (const stream of this.streams.values()) {
      if (!this.isAway && stream.phase === "open" && name(stream.series) === name(series)) stream.events.push({ part: "candles", series, rows: [row] });
    }
  }

  // The server had no room for an event, and says so.
  miss() {
    for (const series of SERIES) this.tables[name(series)].set("w0", ++this.count);
    for (const stream of this.streams.values()) if (stream.phase === "open") stream.events.push({ type: "reset" });
  }

  // The server cannot ask its tables: it tells so, and nothing of what is stored meanwhile.
  goAway() {
    this.isAway = true;
    for (const stream of this.streams.values()) if (stream.phase === "open") stream.events.push(AWAY);
  }

  comeBack() {
    this.isAway = false;
    for (const stream of this.streams.values()) {
      if (stream.phase === "open") stream.events.push({ type: "database", away: null }, { type: "reset" });
    }
  }

  accept(id) {
    this.streams.get(id).phase = "open";
    if (this.isAway) this.streams.get(id).events.push(AWAY);
    this.send({ type: "opened", id });
  }

  deliver(id) {
    const event = this.streams.get(id).events.shift();
    this.send({ type: "news", ...event, id });
  }

  // An update of another series comes on this stream.
  misdeliver(id) {
    const series = SERIES.find((one) => name(one) !== name(this.streams.get(id).series));
    const rows = [{ window_start: "w0", value: -1, of: name(series) }];
    this.send({ type: "news", id, part: "candles", series, rows });
  }

  // The server reads its tables at one moment, the answer comes at another.
  answer(id) {
    const request = this.requests.get(id);
    const next = request.part === "earlier" ? null : "/earlier";
    const rows = this.rows(request.series);
    request.value = {
      candles: () => (request.series.at ? { data: rows.filter((row) => row.window_start === "w0"), next, later: "/later" } : { data: rows, next }),
      later: () => ({ data: rows, later: null }),
    }[request.part]?.() ?? { data: [], next };
  }

  arrive(id) {
    const { value } = this.requests.get(id);
    this.requests.delete(id);
    this.send({ type: "answered", id, value });
  }

  elapse(id) {
    this.now = Math.max(this.now, this.timers.get(id));
    this.timers.delete(id);
    this.send({ type: "elapsed", id });
  }

  // The server is well and answers all that does not hang for ever. Timers end, the shortest first.
  heal() {
    if (this.isAway) this.comeBack();
    for (let turn = 0; turn < 400; turn += 1) {
      const stream = [...this.streams.keys()].find((id) => this.isAtWork(this.streams.get(id)));
      const request = [...this.requests.keys()].find((id) => !this.requests.get(id).isHung);
      if (stream !== undefined) this.choicesOfStream(stream)[0]();
      else if (request !== undefined) this.choicesOfRequest(request)[0]();
      else if (this.isSettled()) break;
      else this.pass();
    }
    if (!this.isSettled()) throw new Error("it does not heal");
    this.compare("healed");
    if (this.state.later === null) return;
    // The past is left behind by reading on.
    this.send({ type: "later" });
    this.heal();
  }

  isAtWork({ isHung, phase, events }) {
    return !isHung && (phase === "opening" || events.length > 0);
  }

  // Time passes until the next timer ends; a stream that does not hang is heard meanwhile.
  pass() {
    const [id] = [...this.timers].sort(([, one], [, other]) => one - other)[0] ?? [];
    if (id === undefined) throw new Error("nothing is awaited, and it is not live");
    for (const [stream, { isHung, phase }] of this.streams) {
      if (!isHung && phase === "open") this.send({ type: "heard", id: stream });
    }
    this.elapse(id);
  }

  isSettled() {
    const { id } = this.state.stream;
    return !this.streams.get(id)?.isHung && this.machine.isLive(this.state) && PARTS.every((part) => this.state.reads[part].phase === "loaded")
      && this.state.reads.later.phase === "idle";
  }
}
