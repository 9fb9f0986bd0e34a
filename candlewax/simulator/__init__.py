"""The exchange simulator: a seeded market, and the exchanges that report it.

`market` makes trades, `frames` writes them as each exchange does, `sessions` plays
the connections that carry them, `faults` misbehaves, and `sample` records it all as
the frame log that comes with the package.
"""
