// The page: which market in which timeframe, and who is told what.

import * as api from "./api.js";
import { Chart, SECONDS } from "./chart.js";
import { Feeds } from "./feeds.js";
import { EXCHANGES, percent, price } from "./format.js";
import { Gaps } from "./gaps.js";
import { keys } from "./keys.js";
import { legend } from "./legend.js";
import { Markets } from "./markets.js";
import { Tape } from "./tape.js";
import { theme } from "./theme.js";

const PAGE = 1000;

const byId = (id) => document.getElementById(id);

let series = null;
let close = () => {};
let next = null;
let reading = false;
let asked = 0;

const chart = new Chart(byId("chart"), {
  onSeen: (candle) => legend(byId("legend"), candle, chart?.places ?? 2),
  onEarlier: () => earlier(),
  onFollow: (follows) => { byId("now").hidden = follows; },
});
const tape = new Tape(byId("tape-rows"));
const feeds = new Feeds(byId("feed-rows"));
const gaps = new Gaps(byId("gap-rows"), byId("gaps-sum"), (time) => chart.look(time));
const markets = new Markets(byId("market-rows"), byId("filter"), byId("exchanges"), (market) => show(market));

async function show(change) {
  const { exchange, symbol, timeframe } = { timeframe: "1m", ...series, ...change };
  series = { exchange, symbol, timeframe };
  location.replace(`#${exchange}/${symbol}/${timeframe}`);
  byId("symbol").textContent = symbol;
  byId("exchange").textContent = EXCHANGES[exchange] ?? exchange;
  document.title = `${symbol} · Candlewax`;
  for (const button of byId("frames").children) {
    button.setAttribute("aria-pressed", String(button.dataset.timeframe === timeframe));
  }
  markets.choose(series);
  head();
  close();
  tape.clear();
  await read();
}

// Listen first, then read: what happens in between comes on top.
async function read() {
  const number = ++asked;
  const mine = { ...series };
  const early = [];
  const made = [];
  let shown = false;
  close();
  close = api.stream(mine, {
    candles: ({ received_us: received, data }) => {
      if (!shown) return early.push(...data);
      if (chart.update(data)) readGaps();
      feeds.seen(received);
      tell();
    },
    trades: (data) => { if (shown) tape.add(data); else made.push(...data); },
    tickers: (data) => { markets.tickers(data); head(); },
    health: (data) => feeds.show(data),
    reset: () => again(),
  }, (open) => { if (!open) feeds.state("lost"); });
  try {
    const [page, last] = await Promise.all([api.candles(mine, PAGE), api.trades(mine, 40)]);
    if (number !== asked) return;
    chart.show(mine.timeframe, page.data);
    next = page.next;
    tape.clear();
    tape.add(last);
    const known = new Set(last.map((trade) => trade.trade_id));
    tape.add(made.filter((trade) => !known.has(trade.trade_id)));
    chart.update(early);
    byId("empty").hidden = page.data.length > 0;
  } catch (error) {
    if (number !== asked) return;
    byId("empty").textContent = error.message;
    byId("empty").hidden = false;
  }
  shown = true;
  tell();
  readGaps();
}

async function readGaps() {
  const number = asked;
  const found = await api.gaps(series).catch(() => []);
  if (number === asked) gaps.show(found);
}

let waiting = null;

// Something was missed, or the server was away: read anew, at most once a second.
function again() {
  waiting ??= setTimeout(() => { waiting = null; read(); }, 1000);
}

async function earlier() {
  if (!next || reading) return;
  reading = true;
  const number = asked;
  try {
    const page = await (await fetch(next)).json();
    if (number === asked) {
      next = page.next;
      chart.earlier(page.data);
    }
  } finally {
    reading = false;
  }
}

function head() {
  const market = markets.get(series ?? {});
  if (!market?.close) return;
  const shown = byId("price");
  const text = price(market.close, market.places ?? 2);
  if (shown.value && shown.value !== text) {
    shown.dataset.moved = Number(market.close) > Number(shown.dataset.close) ? "up" : "down";
  }
  shown.value = text;
  shown.dataset.close = market.close;
  const moved = percent(market.open, market.close);
  byId("change").textContent = `${moved.text} today`;
  byId("change").className = `change ${moved.up ? "up" : "down"}`;
}

// For who cannot see the chart.
function tell() {
  const candle = chart.last();
  if (!candle) return;
  byId("chart").setAttribute("aria-label",
    `Candles of ${series.symbol} at ${EXCHANGES[series.exchange]}, ${series.timeframe}; the last opened at `
    + `${candle.open} and is at ${candle.close}`);
}

for (const timeframe of Object.keys(SECONDS)) {
  const button = document.createElement("button");
  button.textContent = button.dataset.timeframe = timeframe;
  button.addEventListener("click", () => show({ timeframe }));
  byId("frames").append(button);
}

for (const tab of byId("tabs").children) {
  tab.addEventListener("click", () => {
    for (const one of byId("tabs").children) {
      one.ariaSelected = String(one === tab);
      byId(one.getAttribute("aria-controls")).toggleAttribute("data-shown", one === tab);
    }
  });
}
byId("markets").toggleAttribute("data-shown", true);

const help = byId("help");
const turn = theme(byId("theme"), () => chart.paint());
byId("keys").addEventListener("click", () => help.showModal());
byId("now").addEventListener("click", () => chart.now());
keys({
  ...Object.fromEntries(Object.keys(SECONDS).map((timeframe, place) => [String(place + 1), () => show({ timeframe })])),
  j: () => markets.next(1),
  k: () => markets.next(-1),
  "/": () => byId("filter").select(),
  arrowleft: () => chart.scroll(-10),
  arrowright: () => chart.scroll(10),
  "+": () => chart.zoom(1.25),
  "=": () => chart.zoom(1.25),
  "-": () => chart.zoom(0.8),
  f: () => chart.now(),
  t: turn,
  "?": () => help.showModal(),
}, help);

// What the address names, else the busiest market; there may be none yet.
async function begin() {
  const [, exchange, symbol, timeframe] = decodeURIComponent(location.hash).match(/^#(\w+)\/(.+)\/(\w+)$/) ?? [];
  const known = await api.symbols().catch(() => []);
  markets.add(known);
  const first = markets.shown()[0];
  if (exchange && timeframe in SECONDS) return show({ exchange, symbol, timeframe });
  if (first) return show(first);
  byId("empty").textContent = "Waiting for the first trades…";
  byId("empty").hidden = false;
  setTimeout(begin, 500);
}

// For who measures: milliseconds from the receipt of trades until they were on the screen.
window.candlewax = { waits: () => feeds.waits };

api.about().then(({ feed }) => { byId("what").textContent = feed; });
begin();
