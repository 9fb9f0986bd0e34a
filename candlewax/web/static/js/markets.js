// List of markets with live prices, filtered by text, exchange and favourites.

import { EXCHANGES, digits, percent, price } from "./format.js";
import { choosePrefs, prefs } from "./prefs.js";
import { isFavourite, key, search } from "./search.js";

// Writing equal text would cause a layout.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Markets {
  constructor(rows, filter, chips, quotes, onChoose) {
    this.list = rows;
    this.field = filter;
    this.quotes = quotes;
    this.onChoose = onChoose;
    this.markets = new Map();
    this.criteria = { text: "", exchange: "", onlyFavourites: false };
    this.chips = chips;
    filter.addEventListener("input", () => this.narrow({ text: filter.value }));
    for (const element of [filter, rows]) element.addEventListener("keydown", (event) => this.onKey(event));
  }

  // Arrows move a mark through the list, Enter chooses the marked market or the first.
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const shown = this.shown();
    const place = shown.findIndex((market) => key(market) === this.active);
    const places = { ArrowDown: place + 1, ArrowUp: place < 0 ? shown.length - 1 : place - 1 };
    if (event.currentTarget === this.list) Object.assign(places, { Home: 0, End: shown.length - 1 });
    if (event.key in places) {
      this.mark(shown[(places[event.key] + shown.length) % shown.length]);
    } else if (event.key === "Enter") {
      const market = shown[Math.max(0, place)];
      if (market) this.onChoose(market);
      this.field.blur();
    } else if (event.key === "Escape") {
      this.mark(null);
      this.field.blur();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  mark(market) {
    this.active = market ? key(market) : null;
    for (const other of this.markets.values()) other.row?.toggleAttribute("data-active", key(other) === this.active);
    const { row } = this.get(market ?? {}) ?? {};
    for (const element of [this.field, this.list]) {
      if (row) element.setAttribute("aria-activedescendant", row.id);
      else element.removeAttribute("aria-activedescendant");
    }
    row?.scrollIntoView({ block: "nearest" });
  }

  add(markets) {
    for (const market of markets) {
      if (!this.markets.has(key(market))) this.markets.set(key(market), { ...market });
    }
    this.draw();
    if (markets.some((market) => key(market) === this.selected)) this.reveal();
  }

  narrow(criteria) {
    Object.assign(this.criteria, criteria);
    this.mark(null);
    this.draw();
  }

  all() {
    return search(this.markets.values(), { text: "", exchange: "", onlyFavourites: false });
  }

  shown() {
    return search(this.markets.values(), this.criteria);
  }

  draw() {
    this.drawChips();
    const shown = this.shown();
    this.list.replaceChildren(...shown.map((market) => this.row(market)));
    this.list.toggleAttribute("data-empty", !shown.length && this.markets.size > 0);
  }

  drawChips() {
    const { exchange, onlyFavourites } = this.criteria;
    const known = Object.keys(EXCHANGES);
    const place = (id) => (known.includes(id) ? known.indexOf(id) : known.length);
    const present = [...new Set([...this.markets.values()].map((market) => market.exchange))].sort((a, b) => place(a) - place(b));
    const chip = (text, isPressed, criteria, label = text) => {
      const button = document.createElement("button");
      button.textContent = text;
      button.ariaLabel = label;
      button.setAttribute("aria-pressed", String(isPressed));
      button.addEventListener("click", () => this.narrow(criteria));
      return button;
    };
    this.chips.replaceChildren(
      chip("All", !exchange && !onlyFavourites, { exchange: "", onlyFavourites: false }),
      chip("★", onlyFavourites, { onlyFavourites: !onlyFavourites }, "Favourites"),
      ...present.map((id) => chip(EXCHANGES[id] ?? id, id === exchange, { exchange: id })),
    );
  }

  toggleFavourite(market) {
    const name = key(market);
    const others = prefs.favourites.filter((other) => other !== name);
    choosePrefs({ favourites: others.length < prefs.favourites.length ? others : [...others, name] });
    this.draw();
  }

  row(market) {
    const row = document.createElement("div");
    row.className = "row";
    row.role = "option";
    row.id = `market ${key(market)}`.replace(/\s/g, "-");
    row.ariaSelected = String(key(market) === this.selected);
    row.toggleAttribute("data-active", key(market) === this.active);
    const name = document.createElement("span");
    name.className = "name";
    const where = document.createElement("small");
    where.textContent = EXCHANGES[market.exchange] ?? market.exchange;
    name.append(market.symbol, where);
    if (isFavourite(market)) name.append(Object.assign(document.createElement("i"), { className: "star", textContent: "★" }));
    const figures = ["price", "change"].map(() => Object.assign(document.createElement("span"), { className: "figure" }));
    row.append(name, ...figures);
    row.addEventListener("click", () => this.onChoose(market));
    market.row = row;
    this.figures(market);
    return row;
  }

  figures(market) {
    const quote = this.quotes.of(market);
    if (!market.row || !quote) return;
    const [, last, change] = market.row.children;
    market.places = Math.max(market.places ?? 2, digits(quote.close));
    write(last, price(quote.close, market.places));
    if (quote.open === null) return;
    const moved = percent(quote.open, quote.close);
    write(change, moved.text);
    change.title = "since midnight UTC";
    change.classList.toggle("up", moved.up);
    change.classList.toggle("down", !moved.up);
  }

  tickers(rows) {
    const newRows = rows.filter((row) => !this.markets.has(key(row)));
    for (const row of rows) this.figures(this.markets.get(key(row)) ?? row);
    if (newRows.length) this.add(newRows.map((row) => ({ ...row, trades: row.trade_count })));
  }

  choose(market) {
    this.selected = key(market);
    for (const other of this.markets.values()) {
      if (other.row) other.row.ariaSelected = String(key(other) === this.selected);
    }
    this.reveal();
  }

  // Scrolls to the chosen market.
  reveal() {
    this.markets.get(this.selected)?.row?.scrollIntoView({ block: "nearest" });
  }

  next(step) {
    const shown = this.shown();
    const place = shown.findIndex((market) => key(market) === this.selected);
    const market = shown[(place + step + shown.length) % shown.length];
    if (market) this.onChoose(market);
  }

  get(market) {
    return this.markets.get(key(market));
  }
}
