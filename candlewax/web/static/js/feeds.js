// Status of the feeds: one row per connection, and the figures in the bottom strip.

import { count, milliseconds, rate } from "./format.js";
import { second, zone } from "./time.js";

const WORDS = {
  live: "live", playing: "playing", past: "past", degraded: "degraded", waiting: "waiting", ended: "ended",
  loading: "loading", retrying: "not read", lost: "no server", database: "database away", busy: "server busy",
};

const byId = (id) => document.getElementById(id);

export class Feeds {
  constructor(rows) {
    this.list = rows;
    this.waits = [];
  }

  show(health) {
    this.health = health;
    byId("state").toggleAttribute("data-beat");
    this.list.replaceChildren(...health.feeds.map((feed) => this.row(feed)));
    const live = health.feeds.filter((feed) => feed.state === "live").length;
    byId("feeds-sum").textContent = health.feeds.length ? `${live} of ${health.feeds.length} live` : "";
    byId("trades-rate").textContent = rate(health.trades_per_second);
    byId("frames-rate").textContent = rate(health.frames_per_second);
    byId("clock").textContent = `${second(health.now)} ${zone()}`;
    const { p50, p95 } = health.received_to_stored_ms;
    this.showReplay(health.replay ?? null);
    byId("stored").textContent = p50 === null ? "–" : `${milliseconds(p50)} / ${milliseconds(p95)}`;
  }

  // A recording that is played must never be taken for a live feed.
  showReplay(pace) {
    this.isReplay = pace !== null;
    byId("replay").hidden = pace === null;
    byId("replay").textContent = this.label();
  }

  // Returns the word for a recording, empty for a live feed.
  label() {
    return this.isReplay ? `REPLAY ${count(this.health.replay)}×` : "";
  }

  // Shows the feeds' own status only while the page is live.
  state(condition) {
    let word = condition === "live" ? this.health?.status ?? "waiting" : condition;
    if (word === "live" && this.isReplay) word = "playing";
    const shown = byId("state");
    if (shown.dataset.state === word) return;
    shown.dataset.state = word;
    shown.lastElementChild.textContent = WORDS[word] ?? word;
  }

  row(feed) {
    const row = document.createElement("div");
    row.className = "row";
    row.title = feed.reason || `${count(feed.trades)} trades in ${count(feed.frames)} frames`;
    const dot = document.createElement("i");
    dot.className = "dot";
    dot.dataset.state = feed.state;
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = feed.connection;
    const word = document.createElement("span");
    word.className = "word";
    word.dataset.state = feed.state;
    word.textContent = feed.state === "live" ? "" : this.word(feed);
    const figure = document.createElement("span");
    figure.className = "figure";
    figure.textContent = `${rate(feed.trades_per_second)} /s`;
    row.append(dot, name, word, figure);
    return row;
  }

  word(feed) {
    return feed.state === "stalled" ? `silent ${milliseconds(feed.silent_ms)}` : feed.state;
  }

  // Measures until the next frame is drawn: `received` is the receive time in microseconds.
  seen(received) {
    if (!received) return;
    requestAnimationFrame(() => setTimeout(() => {
      this.waits.push(Math.max(0, Date.now() - received / 1000));
      if (this.waits.length > 500) this.waits.shift();
      const ordered = [...this.waits].sort((a, b) => a - b);
      byId("screen").textContent = milliseconds(ordered[Math.floor(ordered.length * 0.95)]);
    }));
  }
}
