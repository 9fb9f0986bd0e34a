"""The exchange simulator: a seeded market, and the exchanges that report it.

`market` makes trades, `frames` writes what each exchange sends and `frame_faults` spoils it.
`recording` plays connections into the frame log that comes with the package.

The same exchanges answer real clients: `plan` says what a `server` plays and how it misbehaves;
`player` and `replay` play it. In `exchanges`, a `venue` is an exchange that is open, a module for
each exchange talks with its clients, `published` remembers what was sent and `rest` shows it again.
"""
