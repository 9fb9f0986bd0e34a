"""Candlewax: market data whose candles can be trusted."""
