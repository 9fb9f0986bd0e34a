"""Reference implementation, trade by trade: plain Python over integers.

Frames become trades, trades change candles, candles get certificates. The columnar modules beside
this package give the same result, faster for large batches.
"""
