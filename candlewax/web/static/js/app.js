// Entry point: wires the parts of the page, and chooses the series by address, click and key.

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
    for (const other of byId("tabs").children) {
      other.ariaSelected = String(other === tab);
      byId(other.getAttribute("aria-controls")).toggleAttribute("data-shown", other === tab);
    }
  });
}
byId("markets").toggleAttribute("data-shown", true);

const help = byId("help");
const toggleTheme = theme(byId("theme"), () => chart.paint());
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
  t: toggleTheme,
  "?": () => help.showModal(),
}, help);

// Returns the series in the address, or null.
function seriesOfAddress() {
  let text;
  try {
    text = decodeURIComponent(location.hash);
  } catch {
    return null;
  }
  const [, exchange, symbol, timeframe] = text.match(/^#(\w+)\/(.+)\/(\w+)$/) ?? [];
  return exchange && Object.hasOwn(SECONDS, timeframe) ? { exchange, symbol, timeframe } : null;
}

// For measurements and tests: milliseconds from the receipt of trades until they were drawn, and the
// candles in the chart library.
window.candlewax = { waits: () => view.feeds.waits, drawn: () => chart.drawn() };

// Without a series in the address, the busiest market is chosen once there is one.
view.onMarkets = () => {
  const [first] = markets.shown();
  if (!runner.state.series && first) choose(first);
};
runner.send({ type: "begin" });
const initialSeries = seriesOfAddress();
if (initialSeries) choose(initialSeries);
