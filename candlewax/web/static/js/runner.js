// Runs the effects of the state machine: requests, streams and timers. The view draws.

import { initial, step } from "./session.js";

export class Runner {
  constructor(api, view, timers = globalThis) {
    this.api = api;
    this.view = view;
    this.timers = timers;
    this.state = initial();
    this.streams = new Map();
    this.requests = new Map();
    this.waits = new Map();
    this.queue = [];
    this.isRunning = false;
    this.isStopped = false;
  }

  // Ends everything; later events are ignored.
  stop() {
    this.isStopped = true;
    for (const close of this.streams.values()) close();
    for (const request of this.requests.values()) request.abort();
    for (const wait of this.waits.values()) this.timers.clearTimeout(wait);
  }

  // Each event is handled completely, drawing included, before the next one.
  send(event) {
    this.queue.push(event);
    if (this.isRunning || this.isStopped) return;
    this.isRunning = true;
    try {
      while (this.queue.length) {
        const [state, effects] = step(this.state, this.queue.shift());
        this.state = state;
        for (const effect of effects) this.run(effect);
        this.view.render(state);
      }
    } finally {
      this.isRunning = false;
    }
  }

  run(effect) {
    const own = { open: this.open, close: this.close, read: this.read, abort: this.abort, wait: this.wait };
    if (own[effect.type]) own[effect.type].call(this, effect);
    else this.view[effect.type](effect);
  }

  open({ id, series }) {
    this.streams.set(id, this.api.stream(series, {
      onOpen: () => this.send({ type: "opened", id }),
      onLost: () => this.send({ type: "lost", id }),
      onEvent: (name, data) => this.hear(id, name, data),
    }));
  }

  hear(id, name, data) {
    if (id !== this.state.stream.id) return;
    if (name === "candles" || name === "trades") {
      const { exchange, symbol, timeframe, data: rows, received_us: received } = data;
      this.send({ type: "news", id, part: name, series: { exchange, symbol, timeframe }, rows });
      if (received) this.view.seen(received);
    } else if (name === "database") {
      this.send({ type: name, id, away: data.message });
    } else {
      if (name !== "reset") this.view[name](data);
      this.send({ type: name === "reset" ? "reset" : "heard", id });
    }
  }

  close({ id }) {
    this.cancel(id);
    this.streams.get(id)?.();
    this.streams.delete(id);
  }

  read({ id, part, series, next }) {
    const request = new AbortController();
    this.requests.set(id, request);
    this.api.read(part, series, next, request.signal).then(
      (value) => this.send({ type: "answered", id, value }),
      (error) => this.send({ type: "failed", id, error: describe(error) }),
    );
  }

  abort({ id }) {
    this.cancel(id);
    this.requests.get(id)?.abort();
    this.requests.delete(id);
  }

  wait({ id, ms }) {
    this.cancel(id);
    const elapse = () => {
      this.waits.delete(id);
      this.send({ type: "elapsed", id });
    };
    this.waits.set(id, this.timers.setTimeout(elapse, ms));
  }

  cancel(id) {
    this.timers.clearTimeout(this.waits.get(id));
    this.waits.delete(id);
  }
}

function describe({ kind = "failure", status = 0, code = "", message }) {
  return { kind, status, code, message };
}
