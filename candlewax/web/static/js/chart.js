// Chart: candles, their volume, and a ribbon that shows the status of each candle's certificate.

import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, createChart, createSeriesMarkers,
} from "../vendor/lightweight-charts/lightweight-charts.mjs";
import { placesOf, priceFormat, scaleOptions, timeOptions } from "./axis.js";
import { count } from "./format.js";
import { Overlays } from "./overlays.js";
import { prefs } from "./prefs.js";
import { SECONDS } from "./timeframes.js";

// Empty windows between two candles are drawn as space, so that they are visible; at most this many.
const MOST_EMPTY = 300;

const SPACING = { least: 1.5, fitted: 9, most: 24, zoomed: 60 };
const MARGIN = 6;

const start = (candle) => Date.parse(candle.window_start) / 1000;

export function status(candle) {
  return candle.closed ? candle.status ?? "closed" : "forming";
}

export class Chart {
  constructor(element, { onSeen, onEarlier, onLater, onFollow }) {
    this.rows = new Map();
    this.places = 2;
    this.differing = new Map();
    this.isFresh = true;
    // Whether the first candle is the market's first one.
    this.isWhole = false;
    this.onSeen = onSeen;
    this.onEarlier = onEarlier;
    this.chart = createChart(element, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      layout: { attributionLogo: true, fontSize: 11, fontFamily: getComputedStyle(document.body).fontFamily },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: MARGIN, barSpacing: SPACING.fitted, minBarSpacing: SPACING.least },
    });
    const quiet = { priceLineVisible: false, lastValueVisible: false };
    this.volume = this.chart.addSeries(HistogramSeries, { ...quiet, priceScaleId: "volume", priceFormat: { type: "volume" } });
    this.ribbon = this.chart.addSeries(HistogramSeries, { ...quiet, priceScaleId: "ribbon", base: 0 });
    this.candles = this.chart.addSeries(CandlestickSeries, {});
    this.chart.priceScale("right").applyOptions({ scaleMargins: { top: element.clientWidth < 600 ? 0.22 : 0.12, bottom: 0.24 } });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.8, bottom: 0.025 } });
    this.chart.priceScale("ribbon").applyOptions({ scaleMargins: { top: 0.991, bottom: 0 } });
    this.markers = createSeriesMarkers(this.candles, []);
    this.overlays = new Overlays(this.chart);
    this.chart.subscribeCrosshairMove((at) => {
      this.pointed = at.time;
      this.onSeen(this.seen());
    });
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (!range || !this.hasArrived()) return;
      if (range.from < 40) onEarlier();
      if (this.chart.timeScale().scrollPosition() > -40) onLater();
      onFollow(this.follows());
    });
    // Candles may come before the first layout.
    this.chart.timeScale().subscribeSizeChange(() => {
      if (this.isFresh && this.rows.size) this.fit(this.target);
    });
    this.paint();
  }

  // Applies the colours of the theme.
  paint() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colours = Object.fromEntries(
      ["up", "down", "up-soft", "down-soft", "complete", "gaps", "partial", "unverified", "forming", "ground", "vwap", "ma-20", "ma-50", "buyers", "compared", "consolidated", "spread", "venue-1", "venue-2", "venue-3", "venue-4", "venue-5"]
        .map((name) => [name, colour(name)]),
    );
    const line = { color: colour("grid") };
    const background = { type: ColorType.Solid, color: colour("ground") };
    const panes = { separatorColor: colour("line"), separatorHoverColor: colour("raised") };
    this.chart.applyOptions({
      layout: { background, panes, textColor: colour("soft") },
      grid: { vertLines: line, horzLines: line },
      ...Object.fromEntries(["rightPriceScale", "timeScale"].map((name) => [name, { borderColor: colour("line") }])),
      crosshair: { vertLine: { labelBackgroundColor: colour("raised") }, horzLine: { labelBackgroundColor: colour("raised") } },
    });
    this.candles.applyOptions({
      upColor: colour("up"), downColor: colour("down"), wickUpColor: colour("up"), wickDownColor: colour("down"),
      borderUpColor: colour("up"), borderDownColor: colour("down"),
    });
    this.applyChoices();
  }

  // Applies the user's choices of zone, scale and overlays.
  applyChoices() {
    this.chart.applyOptions(timeOptions(this.step === SECONDS["1d"]));
    this.chart.priceScale("right").applyOptions(scaleOptions());
    this.overlays.choose(prefs.overlays, (name) => this.colours[name]);
    if (this.rows.size) this.draw();
    this.completeDay();
  }

  clear(timeframe) {
    this.step = SECONDS[timeframe];
    this.rows = new Map();
    this.isFresh = true;
    this.isWhole = false;
    this.pointed = undefined;
    this.target = null;
    this.draw();
    this.chart.applyOptions(timeOptions(timeframe === "1d"));
  }

  // Keeps the visible range, unless it followed the latest candle or the series is new.
  show(rows, isWhole, time) {
    const scale = this.chart.timeScale();
    const range = this.rows.size && !this.follows() ? scale.getVisibleRange() : null;
    this.rows = new Map(rows.map((row) => [start(row), row]));
    this.isWhole = isWhole;
    this.draw();
    if (this.isFresh && rows.length) this.fit(time);
    else if (range && rows.length) scale.setVisibleRange(range);
    else scale.scrollToPosition(MARGIN, false);
    this.completeDay();
  }

  // Fits the candles into the width, around a time if one is given, and the prices into the height.
  fit(time) {
    const scale = this.chart.timeScale();
    this.target = time;
    this.isFresh = !scale.width();
    if (this.isFresh) return;
    const fitted = scale.width() / (this.candles.data().length + 2 * MARGIN);
    scale.applyOptions({ barSpacing: Math.min(SPACING.most, Math.max(SPACING.fitted, fitted)) });
    this.chart.priceScale("right").applyOptions({ autoScale: true });
    if (time) this.look(this.target = Math.min(Math.max(time, this.rows.keys().next().value), this.lastTime()));
    else scale.scrollToPosition(MARGIN, false);
  }

  // The library scrolls a frame later: until then it reports the range before.
  hasArrived() {
    if (!this.target) return true;
    const range = this.chart.timeScale().getVisibleRange();
    if (range?.from <= this.target && this.target <= range?.to) this.target = null;
    return !this.target;
  }

  // VWAP needs the day from its first candle on.
  completeDay() {
    const [first] = this.rows.keys();
    if (first === undefined || this.isWhole || !prefs.overlays.includes("vwap")) return;
    if (Math.floor(first / SECONDS["1d"]) === Math.floor(this.lastTime() / SECONDS["1d"])) this.onEarlier();
  }

  earlier(rows, isWhole) {
    this.isWhole = isWhole;
    this.extend([...rows.map((row) => [start(row), row]), ...this.rows]);
    this.completeDay();
  }

  later(rows) {
    this.extend([...this.rows, ...rows.map((row) => [start(row), row])]);
  }

  extend(rows) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleRange();
    this.rows = new Map(rows);
    this.draw();
    if (range) scale.setVisibleRange(range);
  }

  // Returns whether the number of missing trades of any candle changed. If the last candle is a past
  // one, later candles are not added: those between are not loaded.
  update(rows, isPast = false) {
    let needsRedraw = false;
    let gapsChanged = false;
    for (const row of rows) {
      const time = start(row);
      const last = this.lastTime();
      if (isPast && !(time <= last)) continue;
      needsRedraw ||= placesOf([row]) > this.places;
      // The library updates only the last candle; space before a new one needs a full redraw.
      needsRedraw ||= last !== undefined && (time < last || time > last + this.step);
      const changed = (this.rows.get(time)?.missing ?? 0) !== (row.missing ?? 0);
      gapsChanged ||= changed;
      needsRedraw ||= changed;
      this.rows.set(time, row);
      if (!needsRedraw) this.put(time, row);
    }
    if (needsRedraw) {
      this.rows = new Map([...this.rows].sort(([a], [b]) => a - b));
      this.draw();
    }
    return gapsChanged;
  }

  put(time, row) {
    this.candles.update(this.candle(time, row));
    this.volume.update(this.bar(time, row));
    this.ribbon.update(this.seal(time, row));
    this.overlays.put(this.rows, this.overlayOptions());
  }

  overlayOptions() {
    return { step: this.step, isWhole: this.isWhole, priceFormat: priceFormat(this.places) };
  }

  draw() {
    const candles = [], volume = [], ribbon = [], marks = [];
    let lastTime;
    for (const [time, row] of this.rows) {
      if (lastTime !== undefined) {
        const end = Math.min(time, lastTime + this.step * MOST_EMPTY);
        for (let empty = lastTime + this.step; empty < end; empty += this.step) candles.push({ time: empty });
      }
      lastTime = time;
      candles.push(this.candle(time, row));
      volume.push(this.bar(time, row));
      ribbon.push(this.seal(time, row));
      if (row.missing) marks.push(this.mark(time, `−${count(row.missing)}`, "aboveBar"));
      if (this.differing.has(time)) marks.push({ ...this.mark(time, "≠", "belowBar"), size: 0 });
    }
    this.places = placesOf([...this.rows.values()].slice(-50));
    this.candles.applyOptions({ priceFormat: priceFormat(this.places) });
    this.candles.setData(candles);
    this.volume.setData(volume);
    this.ribbon.setData(ribbon);
    this.markers.setMarkers(marks);
    this.overlays.draw(this.rows, this.overlayOptions());
  }

  candle(time, row) {
    const side = Number(row.close) >= Number(row.open) ? "up" : "down";
    const shape = { time, open: Number(row.open), high: Number(row.high), low: Number(row.low), close: Number(row.close) };
    // A forming candle is pale, with a border of its own colour.
    return row.closed ? shape : { ...shape, color: this.colours[`${side}-soft`], borderColor: this.colours.forming, wickColor: this.colours.forming };
  }

  bar(time, row) {
    const side = Number(row.close) >= Number(row.open) ? "up-soft" : "down-soft";
    return { time, value: Number(row.volume), color: this.colours[side] };
  }

  seal(time, row) {
    return { time, value: 1, color: this.colours[status(row)] ?? this.colours.unverified };
  }

  mark(time, text, position) {
    return { time, position, shape: "circle", size: 0.7, color: this.colours.gaps, text };
  }

  lastTime() {
    let last;
    for (last of this.rows.keys());
    return last;
  }

  last() {
    return this.rows.get(this.lastTime());
  }

  // Returns title, colour and value of the overlays' lines at a candle.
  lines(candle) {
    return candle ? this.overlays.values(start(candle)) : [];
  }

  // Returns the candle under the pointer, or the last one.
  seen() {
    return this.rows.get(this.pointed) ?? this.last();
  }

  // Returns the candles in the library, without the space of empty windows.
  drawn() {
    return this.candles.data().filter((point) => "open" in point);
  }

  follows() {
    return this.chart.timeScale().scrollPosition() >= -2;
  }

  now() {
    this.chart.timeScale().scrollToRealTime();
  }

  // Scrolls to a time in seconds.
  look(time) {
    const half = 40 * this.step;
    this.chart.timeScale().setVisibleRange({ from: time - half, to: time + half });
  }

  // Scrolls back (-1) or forth (1) by an eighth of what is in sight.
  scroll(direction) {
    const scale = this.chart.timeScale();
    const { from = 0, to = 0 } = scale.getVisibleLogicalRange() ?? {};
    scale.scrollToPosition(scale.scrollPosition() + direction * Math.max(10, (to - from) / 8), false);
  }

  zoom(factor) {
    const scale = this.chart.timeScale();
    scale.applyOptions({ barSpacing: Math.min(SPACING.zoomed, Math.max(SPACING.least, scale.options().barSpacing * factor)) });
  }
}
