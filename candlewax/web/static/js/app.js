// The page: what is chosen by address, hand and key, and how its parts are wired.

import * as api from "./api.js";
import { SECONDS } from "./chart.js";
import { keys } from "./keys.js";
import { Runner } from "./runner.js";
import { theme } from "./theme.js";
import { View } from "./view.js";

const byId = (id) => document.getElementById(id);

const view = new View((event) => runner.send(event), (market) => choose(market));
const runner = new Runner(api, view);
const { chart, markets } = view;

function choose(change) {
  const { exchange, symbol, timeframe } = { timeframe: "1m", ...runner.state.series, ...change };
  location.replace(`#${exchange}/${symbol}/${timeframe}`);
  runner.send({ type: "choose", series: { exchange, symbol, timeframe } });
}

function chooseTimeframe(timeframe) {
  if (runner.state.series) choose({ timeframe });
}

for (const timeframe of Object.keys(SECONDS)) {
  const button = document.createElement("button");
  button.textContent = button.dataset.timeframe = timeframe;
  button.addEventListener("click", () => chooseTimeframe(timeframe));
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
  ...Object.fromEntries(Object.keys(SECONDS).map((timeframe, place) => [String(place + 1), () => chooseTimeframe(timeframe)])),
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

// The series that the address names, if it names one.
function addressed() {
  let text;
  try {
    text = decodeURIComponent(location.hash);
  } catch {
    return null;
  }
  const [, exchange, symbol, timeframe] = text.match(/^#(\w+)\/(.+)\/(\w+)$/) ?? [];
  return exchange && Object.hasOwn(SECONDS, timeframe) ? { exchange, symbol, timeframe } : null;
}

// For measurements and tests: milliseconds from the receipt of trades until they were on the
// screen, and the candles that the chart itself holds.
window.candlewax = { waits: () => view.feeds.waits, drawn: () => chart.drawn() };

// Without an address the busiest market; there may be none yet.
view.onMarkets = () => {
  const [first] = markets.shown();
  if (!runner.state.series && first) choose(first);
};
runner.send({ type: "begin" });
const named = addressed();
if (named) choose(named);
