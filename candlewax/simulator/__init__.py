"""Simulator of the exchanges: a seeded market, and websocket and REST servers that publish it.

`market` makes trades, `frames` writes the frames of each exchange, `frame_faults` damages them.
`recording` builds the frame log that comes with the package.

`plan` holds what a `server` plays and which faults it makes; `player` and `replay` play it. In
`exchanges`, a `venue` is one open exchange and each exchange has a module for its clients.
`published` keeps the trades that were sent, and `rest` serves them.
"""
