// The trades of a market as they come, the newest on top.

import { digits, grouped, price } from "./format.js";

const MOST = 60;

export class Tape {
  constructor(rows) {
    this.list = rows;
    this.clear();
  }

  clear() {
    this.places = 2;
    this.largest = 0;
    this.list.replaceChildren();
  }

  // Trades in the order they were made.
  add(trades) {
    for (const trade of trades.slice(-MOST)) {
      this.places = Math.max(this.places, digits(trade.price));
      this.largest = Math.max(this.largest * 0.995, Number(trade.quantity));
      this.list.prepend(this.row(trade));
    }
    while (this.list.childElementCount > MOST) this.list.lastElementChild.remove();
  }

  row(trade) {
    const row = document.createElement("div");
    row.className = "row";
    row.dataset.side = trade.side;
    row.style.setProperty("--size", ((Number(trade.quantity) / this.largest) * 100).toFixed(1));
    const amount = document.createElement("span");
    amount.className = trade.side === "BUY" ? "up" : "down";
    amount.textContent = price(trade.price, this.places);
    amount.title = trade.side === "BUY" ? "taker bought" : "taker sold";
    const quantity = document.createElement("span");
    quantity.textContent = grouped(trade.quantity);
    const time = document.createElement("time");
    time.textContent = trade.timestamp.slice(11, 23);
    const place = document.createElement("span");
    place.append(time);
    row.append(amount, quantity, place);
    return row;
  }
}
