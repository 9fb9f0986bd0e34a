"""The exchange simulator: a seeded market, and the exchanges that report it.

`market` makes trades, `frames` and `control` write what each exchange sends, `feeds`
are the exchanges' ends of a connection, `sessions` play connections, `faults`
misbehave, and `sample` records it all as the frame log that comes with the package.

The same exchanges answer real clients: `plan` says what a `server` plays and how it
misbehaves; `playing` and `replay` play, `books` remember what was published, `rest`
shows it again. A `venue` is an exchange that is open, the modules `as_...` talk with
its clients as the exchange does. `command` is `candlewax simulate`.
"""
