"""Tests of Candlewax, and what its benchmarks share with them."""

import os
import sys

if "pytest" in sys.modules:
    # Polars leaves a frame in as many pieces as it has threads, some of them empty. Nothing
    # may depend on how many cores this machine has. Benchmarks measure it as it is.
    os.environ["POLARS_MAX_THREADS"] = "4"
