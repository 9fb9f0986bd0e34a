"""The exchange simulator: a seeded market, and the exchanges that report it.

`market` makes trades, `frames` and `control` write what each exchange sends, `feeds`
are the exchanges' ends of a connection, `sessions` play connections, `faults`
misbehave, and `sample` records it all as the frame log that comes with the package.
"""
