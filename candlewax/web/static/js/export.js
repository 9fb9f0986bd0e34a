// The chart as a picture and its candles as a table, saved by the browser.

import { EXCHANGES } from "./format.js";
import { moment, zone } from "./time.js";

const FONT = "14px ui-sans-serif, system-ui, sans-serif";
const HEAD = 34;

function nameOf({ exchange, symbol, timeframe }, suffix) {
  return `candlewax-${exchange}-${symbol.replace(/[^\w.-]+/g, "-")}-${timeframe}.${suffix}`;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has taken the address by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Saves the loaded candles, all fields exactly as received.
export function saveTable(series, rows) {
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))].map((fields) => fields.map(quoted).join(","));
  save(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }), nameOf(series, "csv"));
}

function quoted(value) {
  const text = String(value ?? "");
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// Saves the chart as it is seen, with a line above it that names the series and the time.
export function savePicture(series, chart, { now, label }) {
  const drawn = chart.chart.takeScreenshot(true);
  const scale = devicePixelRatio;
  const canvas = document.createElement("canvas");
  canvas.width = drawn.width;
  canvas.height = drawn.height + HEAD * scale;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--ground");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(drawn, 0, HEAD * scale);
  context.scale(scale, scale);
  context.fillStyle = style.getPropertyValue("--text");
  context.font = FONT;
  const { exchange, symbol, timeframe } = series;
  const words = [symbol, EXCHANGES[exchange] ?? exchange, timeframe, label, `${moment(now)} ${zone()}`];
  context.fillText(words.filter(Boolean).join("  ·  "), 14, 22);
  canvas.toBlob((blob) => save(blob, nameOf(series, "png")));
}
