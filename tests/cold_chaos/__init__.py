"""The cold tier under random kills; `make cold-chaos` runs it."""
