// Times as text, in UTC or in the browser's zone.

import { prefs } from "./prefs.js";

const pad = (number, length = 2) => String(number).padStart(length, "0");

function parts(ms) {
  const date = new Date(ms);
  const [year, month, day, hour, minute, second] = prefs.isLocal
    ? [date.getFullYear(), date.getMonth(), date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()]
    : [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
  return { year, month, day, hour, minute, second, millisecond: date.getUTCMilliseconds() };
}

export const zone = () => (prefs.isLocal ? "local" : "UTC");

export function day(ms) {
  const at = parts(ms);
  return `${at.year}-${pad(at.month + 1)}-${pad(at.day)}`;
}

export function minute(ms) {
  const at = parts(ms);
  return `${pad(at.hour)}:${pad(at.minute)}`;
}

export const second = (ms) => `${minute(ms)}:${pad(parts(ms).second)}`;

export const millisecond = (ms) => `${second(ms)}.${pad(parts(ms).millisecond, 3)}`;

export const moment = (ms) => `${day(ms)} ${minute(ms)}`;

// Label of the time axis. Only the time itself decides what it says: the chart library thinks in UTC.
export function tick(ms, isDaily) {
  const at = parts(ms);
  if (!isDaily && (at.hour || at.minute || at.second)) return minute(ms);
  const utc = new Date(ms);
  const [month, date, year] = isDaily ? [utc.getUTCMonth(), utc.getUTCDate(), utc.getUTCFullYear()] : [at.month, at.day, at.year];
  if (date !== 1) return String(date);
  return month ? MONTHS[month] : String(year);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// Start of a candle. Days begin at midnight UTC, whatever the zone.
export const candleTime = (ms, isDaily) => (isDaily ? new Date(ms).toISOString().slice(0, 10) : moment(ms));

// Returns milliseconds of a date and time typed in the chosen zone; NaN if it is none.
export const parse = (text) => Date.parse(prefs.isLocal ? text : `${text}Z`);
