"""Benchmarks of running pipelines: `python -m bench.live [PART ...]`."""
