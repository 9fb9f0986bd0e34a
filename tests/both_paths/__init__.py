"""Rows and columns over many made frames: `python -m tests.both_paths --trades 10000000`."""
