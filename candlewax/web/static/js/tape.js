// Live trades of a market, the newest on top.

import { digits, grouped, price } from "./format.js";
import { millisecond } from "./time.js";

const MOST = 60;

export class Tape {
  constructor(rows) {
    this.list = rows;
    this.clear();
  }

  clear() {
    this.known = new Set();
    this.places = 2;
    this.largest = 0;
    this.list.replaceChildren();
  }

  say(text) {
    this.clear();
    this.list.append(Object.assign(document.createElement("p"), { className: "note", textContent: text }));
  }

  // Shows the trades that were read, or that there are none.
  show(trades) {
    this.clear();
    if (trades.length) this.add(trades);
    else this.say("No trades yet.");
  }

  // Adds trades, oldest first; a trade that is already on the tape is skipped.
  add(trades) {
    if (trades.length) this.list.querySelector(".note")?.remove();
    for (const trade of trades.slice(-MOST)) {
      const name = `${trade.trade_id} ${trade.timestamp}`;
      if (this.known.has(name)) continue;
      this.known.add(name);
      this.places = Math.max(this.places, digits(trade.price));
      this.largest = Math.max(this.largest * 0.995, Number(trade.quantity));
      this.list.prepend(this.row(trade));
    }
    while (this.list.childElementCount > MOST) this.list.lastElementChild.remove();
    for (const name of this.known.keys()) {
      if (this.known.size <= 2 * MOST) break;
      this.known.delete(name);
    }
  }

  // Writes the times again, in another zone.
  redraw() {
    for (const time of this.list.querySelectorAll("time")) time.textContent = millisecond(Date.parse(time.dateTime));
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
    time.dateTime = trade.timestamp;
    time.textContent = millisecond(Date.parse(trade.timestamp));
    const place = document.createElement("span");
    place.append(time);
    row.append(amount, quantity, place);
    return row;
  }
}
