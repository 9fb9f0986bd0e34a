"""Addresses in the shape of Binance's REST API (v3), for programs that speak it."""
