// Lines and bars over the candles. They are drawn from numbers, as the candles are; no amount is
// stored or shown elsewhere from them.

import { HistogramSeries, LineSeries } from "../vendor/lightweight-charts/lightweight-charts.mjs";

const DAY = 86400;

const quiet = { priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false };

const close = (row) => Number(row.close);

// Returns the mean close of so many candles up to a place; null if there are fewer.
function mean(rows, place, length) {
  if (place + 1 < length) return null;
  let sum = 0;
  for (let at = place + 1 - length; at <= place; at += 1) sum += close(rows[at][1]);
  return sum / length;
}

const average = (length) => ({
  name: `MA ${length}`,
  colour: `ma-${length}`,
  points: (rows, from) => rows.slice(from).map((_, at) => mean(rows, from + at, length)),
});

// Quote volume by volume since midnight UTC; of a day candle its own. A day whose first candle is
// not loaded has none: its sum would lack trades.
const vwap = {
  name: "VWAP",
  colour: "vwap",
  points(rows, from, { step, isWhole }) {
    let [day, quote, volume] = [null, 0, 0];
    let isKnown = isWhole;
    return rows.map(([time, row]) => {
      const own = step >= DAY ? time : Math.floor(time / DAY);
      if (own !== day) {
        // A day candle is whole; so is each day after the first loaded one.
        isKnown = isWhole || step >= DAY || day !== null;
        [day, quote, volume] = [own, 0, 0];
      }
      quote += Number(row.quote_volume);
      volume += Number(row.volume);
      return isKnown && volume ? quote / volume : null;
    }).slice(from);
  },
};

const buyers = {
  name: "Buyers",
  colour: "buyers",
  isBar: true,
  points: (rows, from) => rows.slice(from).map(([, row]) => Number(row.buy_volume)),
};

export const OVERLAYS = { vwap, ma20: average(20), ma50: average(50), buyers };

export class Overlays {
  constructor(chart) {
    this.chart = chart;
    this.series = new Map();
  }

  // Shows the overlays of these names, and no others.
  choose(names, colour) {
    for (const [name, series] of this.series) {
      if (names.includes(name)) continue;
      this.chart.removeSeries(series);
      this.series.delete(name);
    }
    for (const name of names.filter((known) => OVERLAYS[known])) {
      if (!this.series.has(name)) this.series.set(name, this.add(OVERLAYS[name]));
      this.series.get(name).applyOptions({ color: colour(OVERLAYS[name].colour) });
    }
  }

  add({ isBar }) {
    const [kind, priceScaleId] = isBar ? [HistogramSeries, "volume"] : [LineSeries, "right"];
    const options = { ...quiet, lineWidth: 1, priceScaleId };
    if (isBar) options.priceFormat = { type: "volume" };
    // The scale fits the candles; a far line must not flatten them.
    else options.autoscaleInfoProvider = () => null;
    return this.chart.addSeries(kind, options);
  }

  draw(rows, options) {
    const list = [...rows];
    for (const [name, series] of this.series) {
      const { isBar, points } = OVERLAYS[name];
      if (!isBar) series.applyOptions({ priceFormat: options.priceFormat });
      const values = points(list, 0, options);
      series.setData(list.map(([time], place) => (values[place] === null ? { time } : { time, value: values[place] })));
    }
  }

  // Draws the last candle's points again.
  put(rows, options) {
    if (!this.series.size) return;
    const list = [...rows];
    const from = list.length - 1;
    for (const [name, series] of this.series) {
      const [value] = OVERLAYS[name].points(list, from, options);
      if (value !== null) series.update({ time: list[from][0], value });
    }
  }

  // Returns title, colour and value of each line at a time.
  values(time) {
    return [...this.series].filter(([name]) => !OVERLAYS[name].isBar).map(([name, series]) => {
      const { name: title, colour } = OVERLAYS[name];
      return { title, colour, value: series.data().findLast((point) => point.time === time)?.value };
    }).filter(({ value }) => value !== undefined);
  }
}
