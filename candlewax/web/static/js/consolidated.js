// All venues of the market in the chart: their consolidated candle as a bar, the close of each venue as
// a line, and the spread between their closes in a pane below. The server makes them; nothing is added
// up here.

import { BarSeries, LineSeries } from "../vendor/lightweight-charts/lightweight-charts.mjs";
import { EXCHANGES, digits, price } from "./format.js";
import { candleTime } from "./time.js";
import { SECONDS } from "./timeframes.js";

const RELOAD_MS = 5_000;
const LIMIT = 10_000;

// The pane of the spread, of a low chart at most this share.
const SPREAD = { pixels: 90, share: 0.25 };
const COLOURS = ["venue-1", "venue-2", "venue-3", "venue-4", "venue-5"];
// More venues than colours: the next ones are dashed, then dotted. Numbers are LineStyle's.
const DASHES = [{ name: "", lineStyle: 0 }, { name: "dashed", lineStyle: 2 }, { name: "dotted", lineStyle: 1 }];
// Opacity behind a colour in hexadecimals.
const PALE = "38";
const DOLLARS = ["USD", "USDT", "USDC"];

const quiet = { priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };

const start = (row) => Date.parse(row.window_start) / 1000;

export const venueName = ({ exchange, symbol }) => `${EXCHANGES[exchange] ?? exchange} ${symbol}`;

// Returns colour, dashes and their number of the line of a venue, by its place.
export function venueLine(place) {
  const { name, lineStyle } = DASHES[Math.floor(place / COLOURS.length) % DASHES.length];
  return { colour: COLOURS[place % COLOURS.length], dashes: name, lineStyle };
}

function legendClass(place) {
  const { colour, dashes } = venueLine(place);
  return `${colour} ${dashes}`;
}

// Returns base, quote and kind of a market; null for markets that are not consolidated.
export function groupOf(symbol) {
  const [, base, quote, settle] = /^([^/:]+)\/([^/:-]+)(?::([^:-]+))?$/.exec(symbol) ?? [];
  if (!base || (settle && settle !== quote)) return null;
  return { base, quote, kind: settle ? "perpetual" : "spot" };
}

// Returns the choices that the page offers for a market, by name: the quote assets of each.
export function choicesOf(symbol) {
  const group = groupOf(symbol);
  if (!group) return {};
  const own = { own: [group.quote] };
  return DOLLARS.includes(group.quote) ? { ...own, dollars: DOLLARS } : own;
}

// Returns the points of a line that is pale where it leads over times of which nothing is known: the
// library joins the values beside them. A time that is proven to have no trade keeps the price.
export function overGaps(points, colour) {
  let isKnown = true;
  return points.toReversed().map((point) => {
    if (!("value" in point)) {
      isKnown &&= Boolean(point.isEmpty);
      return point;
    }
    const drawn = isKnown ? point : { ...point, color: `${colour}${PALE}` };
    isKnown = true;
    return drawn;
  }).toReversed();
}

export class Consolidated {
  // `chart` is the chart of the market, `onChange` is called once something has changed.
  constructor(api, chart, onChange) {
    this.api = api;
    this.chart = chart;
    this.onChange = onChange;
    this.stop();
  }

  // Shows the venues of a series' market, or nothing.
  choose(series, choice) {
    const key = JSON.stringify([series, choice]);
    if (key === this.key) return;
    this.stop();
    this.key = key;
    const quotes = series && choicesOf(series.symbol)[choice];
    if (!quotes) return;
    this.series = series;
    this.query = { ...groupOf(series.symbol), quote: quotes.join() };
    this.bars = this.chart.chart.addSeries(BarSeries, { ...quiet, thinBars: true });
    this.spread = this.chart.chart.addSeries(LineSeries, { ...quiet, lineWidth: 1 }, 1);
    const [whole, below] = this.chart.chart.panes();
    below.setHeight(Math.min(SPREAD.pixels, Math.round((whole.getHeight() + below.getHeight()) * SPREAD.share)));
    this.paint();
    this.follow();
  }

  stop() {
    this.aborter?.abort();
    clearTimeout(this.timer);
    for (const series of [this.bars, this.spread, ...(this.lines?.values() ?? [])]) {
      if (series) this.chart.chart.removeSeries(series);
    }
    this.rows = new Map();
    this.lines = new Map();
    this.key = this.series = this.bars = this.spread = this.aborter = this.error = this.from = this.drawnTo = null;
  }

  paint() {
    if (!this.series) return;
    const { colours } = this.chart;
    this.bars.applyOptions({ upColor: colours.consolidated, downColor: colours.consolidated });
    this.spread.applyOptions({ color: colours.spread });
    [...this.lines.values()].forEach((line, place) => {
      const { colour, lineStyle } = venueLine(place);
      line.applyOptions({ color: colours[colour], lineStyle });
    });
  }

  // Reads what the chart shows and is not loaded, and at the present the last candles again.
  follow({ isPast = false } = {}) {
    this.isPast = isPast;
    const [first] = this.chart.rows.keys();
    if (!this.series || first === undefined || this.aborter || (this.error && this.timer)) return;
    const step = SECONDS[this.series.timeframe];
    const last = this.chart.lastTime();
    const known = [...this.rows.keys()].at(-1);
    if (this.from === null) this.read({ from: Math.max(first, last - step * (LIMIT - 1)), to: last + step }, first);
    else if (first < this.from) this.read({ from: Math.max(first, this.from - step * LIMIT), to: this.from }, first);
    else if (isPast && last > (known ?? -1) && last > (this.reached ?? -1)) this.read({ from: known ?? first, to: last + step });
    else if (last !== this.drawnTo) this.draw();
    if (!isPast && !this.timer && !this.aborter) this.timer = setTimeout(() => this.again(), RELOAD_MS);
  }

  again() {
    this.timer = null;
    const [first] = this.chart.rows.keys();
    if (!this.series || this.isPast || this.aborter || first === undefined) return;
    const step = SECONDS[this.series.timeframe];
    // A part may become trusted later than the window: the next trade's numbers, or a comparison, prove it.
    const from = Math.max(first, this.chart.lastTime() - 30 * step);
    this.read({ from });
  }

  async read(span, first) {
    const aborter = this.aborter = new AbortController();
    clearTimeout(this.timer);
    this.timer = null;
    try {
      const { data } = await this.api.consolidated(this.series.timeframe, { ...this.query, ...span, limit: LIMIT }, aborter.signal);
      if (aborter.signal.aborted) return;
      this.error = null;
      this.rows = new Map([...this.rows, ...data.map((row) => [start(row), row])].sort(([a], [b]) => a - b));
      if (first !== undefined) this.from = Math.min(this.from ?? span.from, span.from);
      if (span.to) this.reached = Math.max(this.reached ?? 0, span.to);
    } catch (error) {
      if (aborter.signal.aborted) return;
      this.error = error;
    }
    this.aborter = null;
    this.draw();
    this.onChange();
    if (this.error) this.timer = setTimeout(() => { this.timer = null; this.follow({ isPast: this.isPast }); }, RELOAD_MS);
    else this.follow({ isPast: this.isPast });
  }

  // Draws where the market has candles: the lines must not widen the time axis.
  draw() {
    if (!this.series) return;
    this.drawnTo = this.chart.lastTime();
    const priceFormat = this.chart.candles.options().priceFormat;
    const times = [...this.chart.rows.keys()];
    const points = (value) => times.map((time) => {
      const row = this.rows.get(time);
      const shown = row ? value(row) : null;
      return shown === null || shown === undefined ? { time } : { time, ...shown };
    });
    this.bars.applyOptions({ priceFormat });
    this.bars.setData(points(({ open, high, low, close }) => ({ open: Number(open), high: Number(high), low: Number(low), close: Number(close) })));
    this.spread.applyOptions({ priceFormat });
    const { colours } = this.chart;
    this.spread.setData(overGaps(points(({ spread }) => (spread === null ? null : { value: Number(spread) })), colours.spread));
    for (const name of this.venues()) {
      if (!this.lines.has(name)) this.lines.set(name, this.chart.chart.addSeries(LineSeries, { ...quiet, lineWidth: 1, autoscaleInfoProvider: () => null }));
      const value = (row) => {
        const part = row.parts.find((one) => venueName(one) === name);
        return part?.close ? { value: Number(part.close) } : { isEmpty: part?.state === "empty" };
      };
      this.lines.get(name).applyOptions({ priceFormat });
      const { colour } = venueLine([...this.lines.keys()].indexOf(name));
      this.lines.get(name).setData(overGaps(points(value), colours[colour]));
    }
    this.paint();
  }

  // Returns the names of all venues that take part, in order.
  venues() {
    const names = new Set();
    for (const { parts } of this.rows.values()) for (const one of parts) names.add(venueName(one));
    return [...names].sort();
  }

  // Returns the consolidated candle of a time; at the market's last candle the latest one before it
  // until its own is read.
  rowAt(time) {
    if (this.rows.has(time) || time !== this.chart.lastTime()) return this.rows.get(time);
    return [...this.rows.values()].findLast((row) => start(row) < time);
  }

  // Returns title, colour and text of each line at the time of a candle.
  values(candle) {
    if (!this.series) return [];
    if (this.error) return [{ title: "All venues", colour: "consolidated", text: "could not be read; retrying…" }];
    const row = candle && this.rowAt(start(candle));
    if (!row) return [{ title: "All venues", colour: "consolidated", text: "–" }];
    const isEarlier = start(row) < start(candle);
    const title = isEarlier ? `All venues ${candleTime(start(row) * 1000, this.series.timeframe === "1d")}` : "All venues";
    const places = Math.max(2, digits(row.close));
    const absent = row.absent ? ` · ${row.absent} absent` : "";
    const trust = row.trusted ? "trusted" : row.status;
    const names = [...this.lines.keys()];
    return [
      { title, colour: "consolidated", text: `${price(row.close, places)} · ${row.venues} ${row.venues > 1 ? "venues" : "venue"} · ${trust}${absent}` },
      { title: "Spread", colour: "spread", text: row.spread === null ? "–" : `${price(row.spread, places)} (${Number(row.spread_bps).toFixed(2)} bp)` },
      ...row.parts.map((part) => ({
        title: venueName(part),
        colour: legendClass(names.indexOf(venueName(part))),
        text: part.close === null ? part.state : `${price(part.close, places)} ${(Number(part.share) * 100).toFixed(1)}%`,
      })),
    ];
  }
}
