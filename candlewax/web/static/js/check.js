// Status of the last cross-check: stored candles against candles computed from the stored trades.

import { count } from "./format.js";
import { moment, zone } from "./time.js";

// Returns null if the server does not report cross-checks.
export function describe(check) {
  if (check === undefined) return null;
  if (check === null) return { state: "none", text: "cross-check: not checked yet", title: "" };
  const title = `checked at ${check.checked_at}: ${count(check.mismatches)} of ${count(check.candles)} candles differ, `
    + `${count(check.missing_in_gold)} are not stored, ${count(check.missing_in_check)} have no trades`;
  const wrong = check.mismatches + check.missing_in_gold + check.missing_in_check;
  const time = `${moment(Date.parse(check.checked_at))} ${zone()}`;
  if (wrong) return { state: "alarm", text: `cross-check: ${count(wrong)} of ${count(check.candles)} candles are wrong · ${time}`, title };
  return { state: "passed", text: `cross-check: ${count(check.candles)} candles agree · ${time}`, title };
}

export function showCheck(element, health) {
  const result = describe(health.cross_check);
  element.hidden = result === null;
  if (result === null) return;
  element.dataset.state = result.state;
  element.textContent = result.text;
  element.title = result.title;
}
