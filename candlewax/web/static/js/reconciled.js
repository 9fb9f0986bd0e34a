// Candles of the market that differ from the exchange's own, read again with each new minute of the
// feed's time. Only one-minute candles are compared.

const MINUTE_MS = 60_000;

// The shortest time between two reads: a recording's minutes may be short.
const PAUSE_MS = 10_000;

const start = (candle) => Date.parse(candle.window_start) / 1000;

export class Reconciled {
  // `onChange` is called once the chart has other marks.
  constructor(api, chart, onChange) {
    this.api = api;
    this.chart = chart;
    this.onChange = onChange;
    this.clear();
  }

  clear() {
    this.asked = "";
    this.askedAt = -PAUSE_MS;
    this.chart.differing = new Map();
  }

  // Takes the series and the feed's time with each report of health.
  follow({ exchange, symbol, timeframe }, nowMs) {
    if (timeframe !== "1m") return;
    const asked = `${exchange} ${symbol} ${Math.floor(nowMs / MINUTE_MS)}`;
    if (this.asked === asked || performance.now() < this.askedAt + PAUSE_MS) return;
    this.asked = asked;
    this.askedAt = performance.now();
    this.api.differing({ exchange, symbol }).then((rows) => {
      if (this.asked === asked) this.show(rows);
    }, () => {
      // Asked again after the pause, even if the feed's time stands still.
      if (this.asked === asked) this.asked = "";
    });
  }

  show(rows) {
    this.chart.differing = new Map(rows.map((row) => [start(row), row]));
    if (this.chart.rows.size) this.chart.draw();
    this.onChange();
  }

  // Returns title, colour and text of a candle that differs.
  values(candle) {
    const row = candle && this.chart.differing.get(start(candle));
    if (!row) return [];
    const texts = row.fields.map((name, place) => `${name} ${row.theirs[place]}`);
    return [{ title: "≠ exchange", colour: "differs", text: texts.join(", ") }];
  }
}
