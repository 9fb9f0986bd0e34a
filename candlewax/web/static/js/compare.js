// A second market in the chart: the line of its closes, loaded and kept like the first one.

import { LineSeries } from "../vendor/lightweight-charts/lightweight-charts.mjs";
import { EXCHANGES, digits, percent, price } from "./format.js";
import { Runner } from "./runner.js";

const start = (candle) => Date.parse(candle.window_start) / 1000;

export class Comparison {
  // `chart` is the chart of the first market, `onChange` is called once the line has changed.
  constructor(api, chart, onChange) {
    this.api = api;
    this.chart = chart;
    this.onChange = onChange;
    this.runner = null;
    this.rows = new Map();
  }

  // Compares with a series, or with none.
  choose(series) {
    this.runner?.stop();
    if (this.line) this.chart.chart.removeSeries(this.line);
    this.runner = this.line = null;
    this.rows = new Map();
    this.series = series;
    if (!series) return;
    this.line = this.chart.chart.addSeries(LineSeries, {
      color: this.chart.colours.compared, lineWidth: 2, priceLineVisible: false, lastValueVisible: false,
    });
    this.runner = new Runner(this.api, this);
    this.runner.send({ type: "choose", series });
  }

  paint() {
    this.line?.applyOptions({ color: this.chart.colours.compared });
  }

  clear() {
    this.rows = new Map();
  }

  show({ part, value }) {
    if (part === "candles") this.rows = new Map(value.data.map((row) => [start(row), row]));
    if (part === "earlier") this.rows = new Map([...value.data.map((row) => [start(row), row]), ...this.rows]);
    if (part === "later") for (const row of value.data) this.rows.set(start(row), row);
  }

  merge({ part, rows, isPast }) {
    if (part !== "candles") return;
    const [last] = [...this.rows.keys()].slice(-1);
    for (const row of rows) if (!isPast || start(row) <= last) this.rows.set(start(row), row);
  }

  // Draws where the first market has candles: the line must not widen the time axis.
  render(state) {
    this.error = state.reads.candles.error;
    if (!this.line) return;
    const points = [];
    for (const time of this.chart.rows.keys()) {
      const row = this.rows.get(time);
      points.push(row ? { time, value: Number(row.close) } : { time });
    }
    this.line.applyOptions({ priceFormat: this.chart.candles.options().priceFormat });
    this.line.setData(points);
    this.extend(state);
    this.onChange();
  }

  // Follows the first market's chart back and forth.
  extend(state) {
    const [first] = this.chart.rows.keys();
    const own = this.rows.keys().next().value;
    const queue = (type) => queueMicrotask(() => this.runner?.send({ type }));
    if (state.next && first !== undefined && own > first && state.reads.earlier.phase === "idle") queue("earlier");
    const last = [...this.rows.keys()].at(-1);
    if (state.later && last < this.chart.lastTime() && state.reads.later.phase === "idle") queue("later");
  }

  redraw() {
    if (this.runner) this.render(this.runner.state);
  }

  unread() {}

  tickers() {}

  health() {}

  seen() {}

  // Returns title, colour and text of the line at the time of a candle; null if nothing is compared.
  value(candle) {
    if (!this.series) return null;
    const title = `${EXCHANGES[this.series.exchange] ?? this.series.exchange} ${this.series.symbol}`;
    if (this.error) return { title, colour: "compared", text: "could not be read; retrying…" };
    const row = candle && this.rows.get(start(candle));
    if (!row) return { title, colour: "compared", text: "–" };
    const places = Math.max(2, digits(row.close));
    return { title, colour: "compared", text: `${price(row.close, places)} ${percent(candle.close, row.close).text}` };
  }
}
