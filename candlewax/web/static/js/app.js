// Entry point: wires the parts of the page, and chooses the series by address, click and key.

import { addressOf, seriesOf } from "./address.js";
import * as api from "./api.js";
import { savePicture, saveTable } from "./export.js";
import { showFavourite } from "./header.js";
import { keys } from "./keys.js";
import { Runner } from "./runner.js";
import { theme } from "./theme.js";
import { SECONDS } from "./timeframes.js";
import { Toolbar } from "./toolbar.js";
import { View } from "./view.js";

const byId = (id) => document.getElementById(id);

const view = new View(api, (event) => runner.send(event), choose);
const runner = new Runner(api, view);
const { chart, markets } = view;

// Each choice is an entry of the browser's history; the first one without an address is not.
function choose(change) {
  const { exchange, symbol, timeframe, at = null } = { timeframe: "1m", ...runner.state.series, ...change };
  const address = addressOf({ exchange, symbol, timeframe, at });
  if (!runner.state.series) history.replaceState(null, "", address);
  else if (address !== location.hash) history.pushState(null, "", address);
  enter({ exchange, symbol, timeframe, at });
}

function enter(series) {
  byId("notice").hidden = true;
  runner.send({ type: "choose", series });
  offer(series);
  toolbar.showDate(series.at);
}

// Offers what the series can be compared with; a comparison that the view ended is no longer chosen.
function offer(series) {
  toolbar.offer(series, markets.all(), view.comparison.series);
}

function chooseTimeframe(timeframe) {
  if (runner.state.series) choose({ timeframe });
}

function now() {
  toolbar.showDate(null);
  if (view.isPast) choose({ at: null });
  else chart.now();
}

// A date that is chosen again is looked at again.
function goTo(at) {
  const { series } = runner.state;
  if (series && series.at === at) chart.look(at);
  else if (series) choose({ at });
}

function toggleFavourite() {
  const { series } = runner.state;
  if (!series) return;
  markets.toggleFavourite(series);
  showFavourite(series);
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

const toolbar = new Toolbar({
  choices: () => view.redraw(),
  date: goTo,
  compare: (market) => view.compare(market),
  fit: () => chart.fit(),
  picture: () => {
    const { series } = view;
    if (series) savePicture(series, chart, { now: view.feeds.health?.now ?? Date.now(), label: view.feeds.label() });
  },
  table: () => { if (view.series) saveTable(view.series, [...chart.rows.values()]); },
});

const help = byId("help");
const toggleTheme = theme(byId("theme"), () => { chart.paint(); view.comparison.paint(); view.consolidated.draw(); });
byId("keys").addEventListener("click", () => help.showModal());
byId("now").addEventListener("click", now);
byId("favourite").addEventListener("click", toggleFavourite);
keys({
  ...Object.fromEntries(Object.keys(SECONDS).map((timeframe, place) => [String(place + 1), () => chooseTimeframe(timeframe)])),
  0: () => chart.fit(),
  j: () => markets.next(1),
  k: () => markets.next(-1),
  "/": () => byId("filter").select(),
  s: toggleFavourite,
  g: () => byId("date").focus(),
  l: () => byId("log").click(),
  u: () => byId("zone").click(),
  arrowleft: () => chart.scroll(-1),
  arrowright: () => chart.scroll(1),
  "+": () => chart.zoom(1.25),
  "=": () => chart.zoom(1.25),
  "-": () => chart.zoom(0.8),
  f: now,
  t: toggleTheme,
  "?": () => help.showModal(),
}, help);

function say(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = false;
}

// Enters the series in the address; false if there is none. A wrong address is told.
function enterAddress() {
  try {
    const series = seriesOf(location.hash);
    if (series) enter(series);
    return series !== null;
  } catch (error) {
    say(error.message);
    return false;
  }
}

addEventListener("popstate", enterAddress);

// For measurements and tests: milliseconds from the receipt of trades until they were drawn, what is
// in the chart library, and the places of the candles that are in sight.
window.candlewax = {
  waits: () => view.feeds.waits,
  drawn: () => chart.drawn(),
  overlay: (name) => chart.overlays.series.get(name)?.data() ?? null,
  range: () => chart.chart.timeScale().getVisibleLogicalRange(),
  consolidated: () => {
    const { bars, spread, lines } = view.consolidated;
    return bars && { bars: bars.data(), spread: spread.data(), venues: Object.fromEntries([...lines].map(([name, line]) => [name, line.data()])) };
  },
  differing: () => [...chart.differing.keys()],
  marks: () => chart.markers.markers(),
  compared: () => view.comparison.line?.data() ?? null,
};

// Without a series in the address, the busiest market is chosen once there is one.
view.onMarkets = () => {
  const [first] = markets.shown();
  const { series } = runner.state;
  if (series) offer(series);
  else if (first) chooseFirst(first);
};

function chooseFirst({ exchange, symbol }) {
  const notice = byId("notice").hidden ? null : byId("notice").textContent;
  choose({ exchange, symbol });
  if (notice) say(`${notice} This is the busiest market.`);
}

runner.send({ type: "begin" });
enterAddress();
