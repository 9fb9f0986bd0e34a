// List of a market's gaps.

import { grouped } from "./format.js";

export class Gaps {
  constructor(rows, sum, onChoose) {
    this.list = rows;
    this.sum = sum;
    this.onChoose = onChoose;
  }

  // Empties the list; `text` tells why, for example that gaps could not be read.
  clear(text = "") {
    this.sum.textContent = text;
    this.list.replaceChildren();
  }

  // Shows gaps that still miss trades, the latest on top.
  show(gaps) {
    const open = gaps.filter((gap) => gap.missing > 0).reverse();
    const missing = open.reduce((sum, gap) => sum + gap.missing, 0);
    this.sum.textContent = missing ? grouped(String(missing)) : "none";
    this.list.replaceChildren(...open.slice(0, 20).map((gap) => this.row(gap)));
  }

  row(gap) {
    const row = document.createElement("button");
    row.className = "row";
    row.title = `numbers ${gap.first_sequence} to ${gap.last_sequence}, between ${gap.before} and ${gap.after}`;
    const mark = Object.assign(document.createElement("i"), { className: "mark gaps" });
    const when = document.createElement("span");
    when.textContent = gap.before.slice(0, 19).replace("T", " ");
    const state = Object.assign(document.createElement("span"), { className: "word", textContent: gap.state });
    const count = Object.assign(document.createElement("span"), { className: "figure" });
    count.textContent = `\u2212${grouped(String(gap.missing))}`;
    row.append(mark, when, state, count);
    row.addEventListener("click", () => this.onChoose(Date.parse(gap.before) / 1000));
    return row;
  }
}
