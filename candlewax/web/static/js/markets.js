// List of markets with live prices, filtered by text and exchange.

import { EXCHANGES, digits, percent, price } from "./format.js";

const key = ({ exchange, symbol }) => `${exchange} ${symbol}`;

// Writing equal text would cause a layout.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Markets {
  constructor(rows, filter, chips, quotes, onChoose) {
    this.list = rows;
    this.quotes = quotes;
    this.onChoose = onChoose;
    this.markets = new Map();
    this.exchange = "";
    this.text = "";
    this.chips = chips;
    filter.addEventListener("input", () => this.narrow({ text: filter.value }));
    filter.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.shown()[0]) this.onChoose(this.shown()[0]);
      if (event.key === "Enter" || event.key === "Escape") filter.blur();
    });
  }

  add(markets) {
    for (const market of markets) {
      if (!this.markets.has(key(market))) this.markets.set(key(market), { ...market });
    }
    this.draw();
  }

  narrow(criteria) {
    Object.assign(this, criteria);
    this.draw();
  }

  // Returns the filtered markets, the busiest first.
  shown() {
    const words = this.text.toUpperCase().split(/\s+/).filter(Boolean);
    return [...this.markets.values()]
      .filter(({ exchange }) => !this.exchange || exchange === this.exchange)
      .filter((market) => words.every((word) => key(market).toUpperCase().includes(word)))
      .sort((a, b) => (b.trades ?? 0) - (a.trades ?? 0) || key(a).localeCompare(key(b)));
  }

  draw() {
    this.drawChips();
    this.list.replaceChildren(...this.shown().map((market) => this.row(market)));
  }

  drawChips() {
    const present = ["", ...Object.keys(EXCHANGES).filter((id) => [...this.markets.values()].some((market) => market.exchange === id))];
    this.chips.replaceChildren(...present.map((id) => {
      const chip = document.createElement("button");
      chip.textContent = id ? EXCHANGES[id] : "All";
      chip.setAttribute("aria-pressed", String(id === this.exchange));
      chip.addEventListener("click", () => this.narrow({ exchange: id }));
      return chip;
    }));
  }

  row(market) {
    const row = document.createElement("div");
    row.className = "row";
    row.role = "option";
    row.ariaSelected = String(key(market) === this.selected);
    const name = document.createElement("span");
    name.className = "name";
    const where = document.createElement("small");
    where.textContent = EXCHANGES[market.exchange] ?? market.exchange;
    name.append(market.symbol, where);
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
