// Draws the state. Every event is drawn in one go, so that all parts of the page show the same
// moment.

import { Chart } from "./chart.js";
import { showCheck } from "./check.js";
import { Feeds } from "./feeds.js";
import { EXCHANGES } from "./format.js";
import { Gaps } from "./gaps.js";
import { nameSeries, showPrice } from "./header.js";
import { legend } from "./legend.js";
import { Markets } from "./markets.js";
import { condition } from "./message.js";
import { Quotes } from "./quotes.js";
import { Tape } from "./tape.js";

const byId = (id) => document.getElementById(id);

export class View {
  // `sendEvent` takes events for the state machine, `choose` a market.
  constructor(sendEvent, choose) {
    this.sendEvent = sendEvent;
    this.series = null;
    this.onMarkets = () => {};
    this.quotes = new Quotes();
    this.chart = new Chart(byId("chart"), {
      onSeen: (candle) => legend(byId("legend"), candle, this.chart?.places ?? 2),
      onEarlier: () => sendEvent({ type: "earlier" }),
      onFollow: (follows) => { byId("now").hidden = follows; },
    });
    this.tape = new Tape(byId("tape-rows"));
    this.feeds = new Feeds(byId("feed-rows"));
    this.gaps = new Gaps(byId("gap-rows"), byId("gaps-sum"), (time) => this.chart.look(time));
    this.markets = new Markets(byId("market-rows"), byId("filter"), byId("exchanges"), this.quotes, choose);
  }

  clear({ series }) {
    const oldSeries = this.series;
    this.series = series;
    this.chart.clear(series.timeframe);
    this.tape.clear();
    this.gaps.clear();
    nameSeries(series);
    this.quotes.choose(series);
    this.markets.choose(series);
    if (oldSeries) this.showQuote(oldSeries);
  }

  show({ part, value }) {
    const shows = {
      candles: () => this.chart.show(value.data),
      earlier: () => this.chart.earlier(value.data),
      trades: () => { this.tape.clear(); this.tape.add(value); },
      gaps: () => this.gaps.show(value),
      about: () => { byId("what").textContent = value.feed; },
      symbols: () => { this.markets.add(value); this.onMarkets(); },
      health: () => showCheck(byId("check"), value),
    };
    shows[part]();
  }

  merge({ part, rows }) {
    if (part === "trades") this.tape.add(rows);
    else if (this.chart.update(rows)) this.sendEvent({ type: "refresh", part: "gaps" });
  }

  unread({ part }) {
    if (part === "trades") this.tape.say("could not be read; retrying…");
    if (part === "gaps") this.gaps.clear("could not be read; retrying…");
  }

  tickers(rows) {
    this.quotes.learn(rows);
    this.markets.tickers(rows);
  }

  health(report) {
    this.feeds.show(report);
    showCheck(byId("check"), report);
  }

  seen(received) {
    this.feeds.seen(received);
  }

  render(state) {
    const last = this.chart.last();
    this.quotes.draw(last);
    const { word, text } = condition(state, Boolean(last));
    this.feeds.state(word);
    byId("empty").textContent = text;
    byId("empty").hidden = !text;
    if (!this.series) return;
    legend(byId("legend"), this.chart.seen(), this.chart.places);
    this.showQuote(this.series);
    this.describe(last);
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
