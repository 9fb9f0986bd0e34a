// List of a market's gaps.

import { count } from "./format.js";
import { day, second } from "./time.js";

export class Gaps {
  constructor(rows, sum, onChoose) {
    this.list = rows;
    this.sum = sum;
    this.onChoose = onChoose;
  }

  // Empties the list; `text` tells why, for example that gaps could not be read.
  clear(text = "") {
    this.shown = null;
    this.sum.textContent = text;
    this.list.replaceChildren();
  }

  // Draws the times again, in another zone.
  redraw() {
    if (this.shown) this.show(this.shown);
  }

  // Shows gaps that still miss trades, the latest on top.
  show(gaps) {
    this.shown = gaps;
    const open = gaps.filter((gap) => gap.missing > 0).reverse();
    const missing = open.reduce((sum, gap) => sum + gap.missing, 0);
    this.sum.textContent = missing ? count(missing) : "none";
    this.list.replaceChildren(...open.slice(0, 20).map((gap) => this.row(gap)));
  }

  row(gap) {
    const row = document.createElement("button");
    row.className = "row";
    row.title = `numbers ${gap.first_sequence} to ${gap.last_sequence}, between ${gap.before} and ${gap.after}`;
    const mark = Object.assign(document.createElement("i"), { className: "mark gaps" });
    const when = document.createElement("span");
    when.textContent = `${day(Date.parse(gap.before))} ${second(Date.parse(gap.before))}`;
    const state = Object.assign(document.createElement("span"), { className: "word", textContent: gap.state });
    const figure = Object.assign(document.createElement("span"), { className: "figure" });
    figure.textContent = `\u2212${count(gap.missing)}`;
    row.append(mark, when, state, figure);
    row.addEventListener("click", () => this.onChoose(Date.parse(gap.before) / 1000));
    return row;
  }
}
