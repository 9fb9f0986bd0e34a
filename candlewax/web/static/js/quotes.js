// Prices of all markets. The chosen market's price is the close of its last drawn candle everywhere,
// so that header, list and chart never disagree.

const key = ({ exchange, symbol }) => `${exchange} ${symbol}`;

export class Quotes {
  constructor() {
    this.days = new Map();
    // Prices of 24 hours ago.
    this.opens = new Map();
    this.selected = null;
    this.candle = null;
  }

  learn(rows) {
    for (const row of rows) this.days.set(key(row), { open: row.open, close: row.close });
  }

  // Takes the first price of a market within the last 24 hours.
  learnOpen(market) {
    this.opens.set(key(market), market.open);
  }

  choose(market) {
    this.selected = key(market);
    this.candle = null;
  }

  // `candle` is null while the last drawn candle is a past one.
  draw(candle) {
    this.candle = candle ?? null;
  }

  // Returns the price, with those of midnight UTC and of 24 hours ago, null if unknown.
  of(market) {
    const day = this.days.get(key(market));
    const earlier = { open: day?.open ?? null, open24: this.opens.get(key(market)) ?? null };
    if (key(market) !== this.selected || !this.candle) return day ? { ...earlier, close: day.close } : null;
    return { ...earlier, close: this.candle.close };
  }
}
