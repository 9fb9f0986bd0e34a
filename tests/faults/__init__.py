"""Faults that are made on purpose, and what is in the tables after each.

`fault` says what a fault is, `all` lists them; the modules beside it make them: `kills`,
`absences`, `disks`, `clocks`, `doubles`, `feeds`, `foreign`, `poison`, `days`, `stores`, `shards`.
`stage` is what they happen to, `account` counts what became of every trade, `table` writes
it down. `python -m tests.faults` plays them.
"""
