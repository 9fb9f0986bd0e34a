// Prices of all markets. The chosen market's price is the close of its last drawn candle everywhere,
// so that header, list and chart never disagree.

const key = ({ exchange, symbol }) => `${exchange} ${symbol}`;

export class Quotes {
  constructor() {
    this.days = new Map();
    this.selected = null;
    this.candle = null;
  }

  learn(rows) {
    for (const row of rows) this.days.set(key(row), { open: row.open, close: row.close });
  }

  choose(market) {
    this.selected = key(market);
    this.candle = null;
  }

  draw(candle) {
    this.candle = candle ?? null;
  }

  of(market) {
    const day = this.days.get(key(market));
    if (key(market) !== this.selected || !this.candle) return day ?? null;
    return { open: day?.open ?? null, close: this.candle.close };
  }
}
