"""Dataflows as they are, in a world that is not as usual: modules for `bytewax.run`."""
