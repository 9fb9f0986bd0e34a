// The last cross-check of stored candles against candles computed from the stored trades.

import { grouped } from "./format.js";

const count = (number) => grouped(String(number));

// Nothing where the server does not say whether it checks.
export function describe(found) {
  if (found === undefined) return null;
  if (found === null) return { state: "none", text: "cross-check: not checked yet", title: "" };
  const title = `checked at ${found.checked_at}: ${count(found.mismatches)} of ${count(found.candles)} candles differ, `
    + `${count(found.missing_in_gold)} are not stored, ${count(found.missing_in_check)} have no trades`;
  const wrong = found.mismatches + found.missing_in_gold + found.missing_in_check;
  const time = `${found.checked_at.slice(0, 16).replace("T", " ")} UTC`;
  if (wrong) return { state: "alarm", text: `cross-check: ${count(wrong)} of ${count(found.candles)} candles are wrong · ${time}`, title };
  return { state: "passed", text: `cross-check: ${count(found.candles)} candles agree · ${time}`, title };
}

export function showCheck(element, health) {
  const said = describe(health.cross_check);
  element.hidden = said === null;
  if (said === null) return;
  element.dataset.state = said.state;
  element.textContent = said.text;
  element.title = said.title;
}
