"""Tests of Candlewax."""

import os

# Polars leaves a frame in as many pieces as it has threads, some of them empty. Nothing may
# depend on how many cores this machine has.
os.environ["POLARS_MAX_THREADS"] = "4"
