// Draws the state. Every event is drawn in one go, so that all parts of the page show the same
// moment.

import { Chart } from "./chart.js";
import { showCheck } from "./check.js";
import { Comparison } from "./compare.js";
import { Consolidated } from "./consolidated.js";
import { DayOpen } from "./day.js";
import { Feeds } from "./feeds.js";
import { EXCHANGES, grouped } from "./format.js";
import { Gaps } from "./gaps.js";
import { nameSeries, showPrice } from "./header.js";
import { legend } from "./legend.js";
import { Markets } from "./markets.js";
import { condition } from "./message.js";
import { prefs } from "./prefs.js";
import { Quotes } from "./quotes.js";
import { Reconciled } from "./reconciled.js";
import { Tape } from "./tape.js";
import { SECONDS } from "./timeframes.js";

const byId = (id) => document.getElementById(id);

export class View {
  // `sendEvent` takes events for the state machine, `choose` the changes of the series.
  constructor(api, sendEvent, choose) {
    this.sendEvent = sendEvent;
    this.series = null;
    this.isPast = false;
    this.onMarkets = () => {};
    this.quotes = new Quotes();
    this.dayOpen = new DayOpen(api, (market) => {
      this.quotes.learnOpen(market);
      if (this.series) this.showQuote(this.series);
    });
    this.chart = new Chart(byId("chart"), {
      onSeen: () => this.showLegend(),
      onEarlier: () => sendEvent({ type: "earlier" }),
      onLater: () => { if (this.isPast) sendEvent({ type: "later" }); },
      onFollow: (follows) => this.showNow(follows),
    });
    this.comparison = new Comparison(api, this.chart, () => this.showLegend());
    this.consolidated = new Consolidated(api, this.chart, () => this.showLegend());
    this.reconciled = new Reconciled(api, this.chart, () => this.showLegend());
    this.tape = new Tape(byId("tape-rows"));
    this.feeds = new Feeds(byId("feed-rows"));
    this.gaps = new Gaps(byId("gap-rows"), byId("gaps-sum"), (time) => this.goTo(time, choose));
    this.markets = new Markets(byId("market-rows"), byId("filter"), byId("exchanges"), this.quotes, ({ exchange, symbol }) => choose({ exchange, symbol }));
  }

  clear({ series }) {
    const oldSeries = this.series;
    this.series = series;
    this.reconciled.clear();
    this.chart.clear(series.timeframe);
    this.tape.say("Loading…");
    this.gaps.clear();
    nameSeries(series);
    this.quotes.choose(series);
    this.markets.choose(series);
    if (oldSeries) this.showQuote(oldSeries);
    const isSame = oldSeries?.exchange === series.exchange && oldSeries?.symbol === series.symbol;
    this.compare(isSame ? this.comparison.series : null);
    this.consolidated.choose(series, prefs.venues);
  }

  // Shows the candles around a time in seconds: those drawn, or else those that are read.
  goTo(time, choose) {
    const [first] = this.chart.rows.keys();
    if (first <= time && time < this.chart.lastTime() + SECONDS[this.series.timeframe]) this.chart.look(time);
    else choose({ at: Math.floor(time) });
  }

  // Compares with a market, or with none.
  compare(market) {
    this.comparison.choose(market && { exchange: market.exchange, symbol: market.symbol, timeframe: this.series.timeframe, at: this.series.at });
    this.showLegend();
  }

  show({ part, series, value }) {
    const shows = {
      candles: () => this.chart.show(value.data, value.next === null, series.at),
      earlier: () => this.chart.earlier(value.data, value.next === null),
      later: () => this.chart.later(value.data),
      trades: () => this.tape.show(value),
      gaps: () => this.gaps.show(value),
      about: () => { byId("what").textContent = value.feed; },
      symbols: () => { this.markets.add(value); this.onMarkets(); },
      health: () => this.health(value),
    };
    shows[part]();
  }

  merge({ part, rows, isPast }) {
    if (part === "trades") this.tape.add(rows);
    else if (this.chart.update(rows, isPast)) this.sendEvent({ type: "refresh", part: "gaps" });
  }

  unread({ part }) {
    if (part === "trades") this.tape.say("could not be read; retrying…");
    if (part === "gaps") this.gaps.clear("could not be read; retrying…");
  }

  tickers(rows) {
    const known = this.markets.markets.size;
    this.quotes.learn(rows);
    this.markets.tickers(rows);
    if (this.markets.markets.size > known) this.onMarkets();
  }

  health(report) {
    this.feeds.show(report);
    showCheck(byId("check"), report);
    if (this.series) this.dayOpen.follow(this.series, report.now);
    if (this.series) this.reconciled.follow(this.series, report.now);
  }

  seen(received) {
    this.feeds.seen(received);
  }

  // Draws again after a choice of zone, scale or overlays.
  redraw() {
    this.chart.applyChoices();
    this.comparison.paint();
    this.consolidated.choose(this.series, prefs.venues);
    this.consolidated.follow({ isPast: this.isPast });
    this.consolidated.draw();
    this.tape.redraw();
    this.gaps.redraw();
    if (this.feeds.health) this.health(this.feeds.health);
    this.showLegend();
  }

  render(state) {
    const last = this.chart.last();
    this.isPast = state.later !== null;
    this.quotes.draw(this.isPast ? null : last);
    const { word, text } = condition(state, Boolean(last));
    this.feeds.state(word);
    byId("empty").textContent = text;
    byId("empty").hidden = !text;
    if (!this.series) return;
    this.showNow(this.chart.follows());
    this.consolidated.follow({ isPast: this.isPast });
    this.showLegend();
    this.showQuote(this.series);
    this.describe(last);
  }

  showNow(follows) {
    byId("now").hidden = follows && !this.isPast;
  }

  showLegend() {
    // The chart calls this while it is made.
    if (!this.chart || !this.series) return;
    const candle = this.chart.seen();
    const lines = this.chart.lines(candle).map(({ title, colour, value }) => ({ title, colour, text: grouped(value.toFixed(this.chart.places)) }));
    const compared = this.comparison.value(candle);
    legend(byId("legend"), candle, this.chart.places, {
      isDaily: this.series.timeframe === "1d",
      lines: [...lines, ...(compared ? [compared] : []), ...this.consolidated.values(candle), ...this.reconciled.values(candle)],
    });
  }

  showQuote(series) {
    const market = this.markets.get(series);
    if (market) this.markets.figures(market);
    if (series === this.series) showPrice(this.quotes.of(series), market?.places ?? 2);
  }

  // Describes the chart for screen readers.
  describe(last) {
    const { exchange, symbol, timeframe } = this.series;
    const title = `Candles of ${symbol} at ${EXCHANGES[exchange] ?? exchange}, ${timeframe}`;
    byId("chart").setAttribute("aria-label",
      last ? `${title}; the last opened at ${last.open} and is at ${last.close}` : `${title}; none is shown`);
  }
}
