"""Benchmarks: `python -m bench` prints lines of JSON and a table."""
