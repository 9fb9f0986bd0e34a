"""Benchmarks: `python -m bench`, JSON lines and a short table at the end."""
