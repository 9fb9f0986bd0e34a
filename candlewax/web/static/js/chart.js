// The chart: candles, their volume, and a ribbon that shows what each candle's certificate says.

import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, createChart, createSeriesMarkers,
} from "/static/vendor/lightweight-charts/lightweight-charts.mjs";
import { digits } from "./format.js";

export const SECONDS = { "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "1d": 86400 };

// Empty windows between two candles are shown as room, so that a hole looks like one.
const MOST_EMPTY = 300;

const start = (candle) => Date.parse(candle.window_start) / 1000;

export function status(candle) {
  return candle.closed ? candle.status ?? "closed" : "forming";
}

export class Chart {
  constructor(element, { onSeen, onEarlier, onFollow }) {
    this.rows = new Map();
    this.onSeen = onSeen;
    this.chart = createChart(element, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      layout: { attributionLogo: true, fontSize: 11, fontFamily: getComputedStyle(document.body).fontFamily },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 6, barSpacing: 9, minBarSpacing: 1.5 },
    });
    const quiet = { priceLineVisible: false, lastValueVisible: false };
    this.volume = this.chart.addSeries(HistogramSeries, { ...quiet, priceScaleId: "volume", priceFormat: { type: "volume" } });
    this.ribbon = this.chart.addSeries(HistogramSeries, { ...quiet, priceScaleId: "ribbon", base: 0 });
    this.candles = this.chart.addSeries(CandlestickSeries, {});
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: element.clientWidth < 600 ? 0.22 : 0.12, bottom: 0.24 } });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.8, bottom: 0.025 } });
    this.chart.priceScale("ribbon").applyOptions({ scaleMargins: { top: 0.991, bottom: 0 } });
    this.markers = createSeriesMarkers(this.candles, []);
    this.chart.subscribeCrosshairMove((at) => {
      this.pointed = at.time;
      this.onSeen(this.seen());
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (!range) return;
      if (range.from < 40) onEarlier();
      onFollow(this.follows());
    });
    this.paint();
  }

  // Take the colours of the theme.
  paint() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colours = Object.fromEntries(
      ["up", "down", "up-soft", "down-soft", "complete", "gaps", "partial", "unverified", "forming", "ground"]
        .map((name) => [name, colour(name)]),
    );
    const line = { color: colour("grid") };
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colour("ground") }, textColor: colour("soft") },
      grid: { vertLines: line, horzLines: line },
      rightPriceScale: { borderColor: colour("line") },
      timeScale: { borderColor: colour("line") },
      crosshair: { vertLine: { labelBackgroundColor: colour("raised") }, horzLine: { labelBackgroundColor: colour("raised") } },
    });
    this.candles.applyOptions({
      upColor: colour("up"), downColor: colour("down"), wickUpColor: colour("up"), wickDownColor: colour("down"),
      borderUpColor: colour("up"), borderDownColor: colour("down"),
    });
    if (this.rows.size) this.draw();
  }

  clear(timeframe) {
    this.step = SECONDS[timeframe];
    this.rows = new Map();
    this.draw();
    this.chart.timeScale().applyOptions({ timeVisible: timeframe !== "1d" });
  }

  // The view stays where it is, unless it followed what happens now.
  show(rows) {
    const scale = this.chart.timeScale();
    const range = this.rows.size && !this.follows() ? scale.getVisibleRange() : null;
    this.rows = new Map(rows.map((row) => [start(row), row]));
    this.draw();
    if (range && rows.length) scale.setVisibleRange(range);
    else this.now();
  }

  earlier(rows) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleRange();
    if (!rows.length) return;
    this.rows = new Map([...rows.map((row) => [start(row), row]), ...this.rows]);
    this.draw();
    if (range) scale.setVisibleRange(range);
  }

  // Gives whether the missing trades of any of them changed.
  update(rows) {
    let anew = false;
    let gaps = false;
    for (const row of rows) {
      const time = start(row);
      const last = this.lastTime();
      // Only the last candle can be changed in place; a gap before a new one is to be shown.
      anew ||= last !== undefined && (time < last || time > last + this.step);
      const changed = (this.rows.get(time)?.missing ?? 0) !== (row.missing ?? 0);
      gaps ||= changed;
      anew ||= changed;
      this.rows.set(time, row);
      if (!anew) this.put(time, row);
    }
    if (anew) {
      this.rows = new Map([...this.rows].sort(([a], [b]) => a - b));
      this.draw();
    }
    return gaps;
  }

  put(time, row) {
    this.candles.update(this.candle(time, row));
    this.volume.update(this.bar(time, row));
    this.ribbon.update(this.seal(time, row));
  }

  draw() {
    const candles = [], volume = [], ribbon = [], marks = [];
    let before;
    for (const [time, row] of this.rows) {
      if (before !== undefined) {
        const end = Math.min(time, before + this.step * MOST_EMPTY);
        for (let empty = before + this.step; empty < end; empty += this.step) candles.push({ time: empty });
      }
      before = time;
      candles.push(this.candle(time, row));
      volume.push(this.bar(time, row));
      ribbon.push(this.seal(time, row));
      if (row.missing) marks.push(this.mark(time, row));
    }
    const places = Math.max(2, ...[...this.rows.values()].slice(-50).map((row) => digits(row.close)));
    this.places = Math.min(places, 10);
    this.candles.applyOptions({ priceFormat: { type: "price", precision: this.places, minMove: 10 ** -this.places } });
    this.candles.setData(candles);
    this.volume.setData(volume);
    this.ribbon.setData(ribbon);
    this.markers.setMarkers(marks);
  }

  candle(time, row) {
    const side = Number(row.close) >= Number(row.open) ? "up" : "down";
    const shape = { time, open: Number(row.open), high: Number(row.high), low: Number(row.low), close: Number(row.close) };
    // A forming candle is pale, with an edge of its own.
    return row.closed ? shape : { ...shape, color: this.colours[`${side}-soft`], borderColor: this.colours.forming, wickColor: this.colours.forming };
  }

  bar(time, row) {
    const side = Number(row.close) >= Number(row.open) ? "up-soft" : "down-soft";
    return { time, value: Number(row.volume), color: this.colours[side] };
  }

  seal(time, row) {
    return { time, value: 1, color: this.colours[status(row)] ?? this.colours.unverified };
  }

  mark(time, row) {
    return { time, position: "aboveBar", shape: "circle", size: 0.7, color: this.colours.gaps, text: `−${row.missing}` };
  }

  lastTime() {
    let last;
    for (last of this.rows.keys());
    return last;
  }

  last() {
    return this.rows.get(this.lastTime());
  }

  // The candle under the pointer, or the last one.
  seen() {
    return this.rows.get(this.pointed) ?? this.last();
  }

  // The candles that the library itself holds, without the room of empty windows.
  drawn() {
    return this.candles.data().filter((point) => "open" in point);
  }

  follows() {
    return this.chart.timeScale().scrollPosition() >= -2;
  }

  now() {
    this.chart.timeScale().scrollToRealTime();
  }

  // Bring a time (seconds) into view.
  look(time) {
    const half = 40 * this.step;
    this.chart.timeScale().setVisibleRange({ from: time - half, to: time + half });
  }

  scroll(bars) {
    const scale = this.chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  zoom(factor) {
    const scale = this.chart.timeScale();
    scale.applyOptions({ barSpacing: Math.min(60, Math.max(1.5, scale.options().barSpacing * factor)) });
  }
}
