// The chosen market's price of 24 hours ago, read again with each new minute of the feed's time.

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;

// The shortest time between two reads: a recording's minutes may be short.
const PAUSE_MS = 10_000;

export class DayOpen {
  // `onOpen` takes the market with the open of its first candle within the 24 hours.
  constructor(api, onOpen) {
    this.api = api;
    this.onOpen = onOpen;
    this.asked = "";
    this.askedAt = -PAUSE_MS;
  }

  // Takes the series and the feed's time with each report of health.
  follow({ exchange, symbol }, nowMs) {
    const begin = (Math.floor(nowMs / MINUTE_MS) + 1 - DAY_MINUTES) * 60;
    const market = `${exchange} ${symbol}`;
    const isNew = !this.asked.startsWith(`${market} `);
    if (this.asked === `${market} ${begin}` || (!isNew && performance.now() < this.askedAt + PAUSE_MS)) return;
    this.asked = `${market} ${begin}`;
    this.askedAt = performance.now();
    // Until it can be read, the change is that of the day, and is called so.
    this.api.firstOpen({ exchange, symbol }, begin).then((open) => {
      if (open !== null) this.onOpen({ exchange, symbol, open });
    }, () => {});
  }
}
