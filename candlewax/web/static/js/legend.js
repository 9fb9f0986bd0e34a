// Legend above the chart: all fields of the candle under the pointer, or of the last one.

import { status } from "./chart.js";
import { count, grouped, milliseconds, price, short } from "./format.js";
import { candleTime } from "./time.js";

const WORDS = {
  forming: "forming",
  closed: "closed",
  complete: "complete",
  gaps: "trades missing",
  partial: "partial",
  unverified: "unnumbered",
};

function field(name, text, kind = "") {
  const span = document.createElement("span");
  const label = document.createElement("b");
  label.textContent = name;
  span.append(label, text);
  span.className = kind;
  return span;
}

export function seal(candle) {
  const shown = document.createElement("span");
  shown.className = "seal";
  shown.dataset.status = status(candle);
  const more = [];
  if (candle.missing) more.push(`${count(candle.missing)} missing`);
  if (candle.repaired) more.push(`${count(candle.repaired)} repaired`);
  if (candle.feed_down_ms) more.push(`feed down ${milliseconds(candle.feed_down_ms)}`);
  if (candle.revision) more.push(`revised ${count(candle.revision)}×`);
  const word = candle.missing ? "" : WORDS[status(candle)];
  shown.textContent = [word, ...more].filter(Boolean).join(" · ");
  return shown;
}

// `lines` are the values of overlays and of the compared market: title, colour and text each.
export function legend(element, candle, places, { isDaily = false, lines = [] } = {}) {
  if (!candle) return element.replaceChildren();
  const time = document.createElement("time");
  time.dateTime = candle.window_start;
  time.textContent = candleTime(Date.parse(candle.window_start), isDaily);
  const side = Number(candle.close) >= Number(candle.open) ? "up" : "down";
  const amount = (name, text) => field(name, price(text, places), side);
  const volume = field("V", short(candle.volume));
  volume.title = grouped(candle.volume);
  element.replaceChildren(
    time,
    amount("O", candle.open),
    amount("H", candle.high),
    amount("L", candle.low),
    amount("C", candle.close),
    volume,
    field("trades", count(candle.trade_count), "more"),
    seal(candle),
    ...lines.map(({ title, colour, text }) => field(title, text, `line ${colour}`)),
  );
}
