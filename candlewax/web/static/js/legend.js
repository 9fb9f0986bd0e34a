// Legend above the chart: all fields of the candle under the pointer, or of the last one.

import { grouped, price, short } from "./format.js";
import { status } from "./chart.js";

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
  if (candle.missing) more.push(`${grouped(String(candle.missing))} missing`);
  if (candle.repaired) more.push(`${candle.repaired} repaired`);
  if (candle.feed_down_ms) more.push(`feed down ${(candle.feed_down_ms / 1000).toFixed(1)} s`);
  if (candle.revision) more.push(`revised ${candle.revision}×`);
  const word = candle.missing ? "" : WORDS[status(candle)];
  shown.textContent = [word, ...more].filter(Boolean).join(" · ");
  return shown;
}

export function legend(element, candle, places) {
  if (!candle) return element.replaceChildren();
  const time = document.createElement("time");
  time.textContent = candle.window_start.slice(0, 16).replace("T", " ");
  const side = Number(candle.close) >= Number(candle.open) ? "up" : "down";
  const amount = (name, text) => field(name, price(text, places), side);
  element.replaceChildren(
    time,
    amount("O", candle.open),
    amount("H", candle.high),
    amount("L", candle.low),
    amount("C", candle.close),
    field("V", short(candle.volume)),
    field("trades", grouped(String(candle.trade_count)), "more"),
    seal(candle),
  );
}
