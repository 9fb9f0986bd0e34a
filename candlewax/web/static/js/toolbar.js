// Toolbar over the chart: what it shows, from where on, and saving it.

import { choicesOf } from "./consolidated.js";
import { EXCHANGES } from "./format.js";
import { OVERLAYS } from "./overlays.js";
import { choosePrefs, prefs } from "./prefs.js";
import { day, parse, second, zone } from "./time.js";

const byId = (id) => document.getElementById(id);

const press = (button, isPressed) => button.setAttribute("aria-pressed", String(isPressed));

export class Toolbar {
  // `on` has a function for each: choices, date, compare, picture, table, fit.
  constructor(on) {
    this.on = on;
    this.date = "";
    this.at = null;
    this.toggle("log", "isLog");
    this.toggle("zone", "isLocal");
    for (const [name, { name: title, colour }] of Object.entries(OVERLAYS)) {
      const button = document.createElement("button");
      button.innerHTML = `<i class="swatch ${colour}"></i>`;
      button.append(title);
      button.addEventListener("click", () => this.toggleOverlay(name));
      button.dataset.overlay = name;
      byId("overlays").append(button);
    }
    byId("fit").addEventListener("click", on.fit);
    byId("picture").addEventListener("click", on.picture);
    byId("table").addEventListener("click", on.table);
    // A browser reports each change of a part of the date: only a finished one counts.
    byId("date").addEventListener("blur", () => this.goTo());
    byId("date").addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      this.goTo({ isAgain: true });
      byId("date").blur();
    });
    byId("compare").addEventListener("change", () => {
      const [exchange, symbol] = byId("compare").value.split(" ");
      on.compare(symbol ? { exchange, symbol } : null);
    });
    byId("venues").addEventListener("change", () => this.choose({ venues: byId("venues").value }));
    this.draw();
  }

  toggle(id, name) {
    byId(id).addEventListener("click", () => this.choose({ [name]: !prefs[name] }));
  }

  toggleOverlay(name) {
    const others = prefs.overlays.filter((other) => other !== name);
    this.choose({ overlays: others.length < prefs.overlays.length ? others : [...others, name] });
  }

  choose(change) {
    choosePrefs(change);
    this.draw();
    if ("isLocal" in change) this.showDate(this.at);
    this.on.choices();
  }

  draw() {
    press(byId("log"), prefs.isLog);
    press(byId("zone"), prefs.isLocal);
    byId("zone").textContent = prefs.isLocal ? "Local" : "UTC";
    byId("date").setAttribute("aria-label", `Go to a date and time (${zone()})`);
    byId("tape-zone").textContent = `time (${zone()})`;
    for (const button of byId("overlays").children) press(button, prefs.overlays.includes(button.dataset.overlay));
  }

  goTo({ isAgain = false } = {}) {
    const text = byId("date").value;
    if (text === this.date && !isAgain) return;
    this.date = text;
    const ms = parse(text);
    if (!Number.isNaN(ms)) this.on.date(Math.floor(ms / 1000));
  }

  // Shows the time that the chart was sent to, in seconds, in the chosen zone; null for none.
  showDate(at) {
    this.at = at;
    byId("date").value = at ? `${day(at * 1000)}T${second(at * 1000)}` : "";
    this.date = byId("date").value;
  }

  // Offers the markets of the same asset for a comparison; `compared` is the chosen one or null.
  offer(market, markets, compared) {
    const asset = ({ symbol }) => symbol.split("/")[0];
    const others = markets.filter(({ exchange, symbol }) => exchange !== market.exchange || symbol !== market.symbol);
    const option = ({ exchange, symbol }) => new Option(`${symbol} ${EXCHANGES[exchange] ?? exchange}`, `${exchange} ${symbol}`);
    const same = others.filter((other) => asset(other) === asset(market));
    byId("compare").replaceChildren(new Option("Compare with…", ""), ...same.map(option));
    byId("compare").value = compared ? `${compared.exchange} ${compared.symbol}` : "";
    if (byId("compare").selectedIndex < 0) byId("compare").value = "";
    byId("compare").disabled = !same.length;
    this.offerVenues(market);
  }

  // Offers the consolidated candles of the market's asset: in its own quote asset, or in all dollars.
  offerVenues({ symbol }) {
    const choices = Object.entries(choicesOf(symbol));
    const options = choices.map(([name, quotes]) => new Option(`Venues in ${quotes.join(", ")}`, name));
    byId("venues").replaceChildren(new Option("Venues…", ""), ...options);
    byId("venues").value = choices.some(([name]) => name === prefs.venues) ? prefs.venues : "";
    byId("venues").disabled = !choices.length;
  }
}
