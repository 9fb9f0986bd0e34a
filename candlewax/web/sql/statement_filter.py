"""Which statements may be run for whoever asks.

The embedded engine has one user, who may do all, and acts as a client too: it writes the
files that a query's INTO OUTFILE names. `readonly = 1` is ClickHouse's own and stops
what writes, what changes settings and what reads through table functions; measured on
ClickHouse 26.9 it does not stop these:

- INTO OUTFILE,
- `SYSTEM STOP MERGES` and `KILL QUERY`,
- the function `file`, and DESCRIBE of table functions that open files or addresses,
- object stores, which are spoken to before anybody asks whether that is allowed.

So a statement has to be one that reads, and may not name what reaches out. ClickHouse's
own parser says what the statement is: `formatQuery` takes exactly one and writes it in
one canonical way, without comments, and what it wrote is what is looked at and run.
"""

import re
from collections.abc import Collection
from typing import Final

from candlewax.web.sql.http_protocol import RequestError

_READS: Final = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS"})

_WORD: Final = re.compile(
    r"'(?:[^'\\]|\\.|'')*'"  # a string
    r"|`(?P<quoted>(?:[^`\\]|\\.|``)*)`"
    r'|"(?P<double>(?:[^"\\]|\\.|"")*)"'
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<other>\S)",
    re.DOTALL,
)

REACHING_OUT: Final = frozenset({"file", "eval", "cluster", "clusterallreplicas"})
"""Functions that read files, run text as a query, or ask other servers, besides the table
functions that ClickHouse itself does not allow where only reading is."""

_MODEL: Final = re.compile(r"ai_?(classify|embed|extract|filter|generate|redact|similarity|trans)")
"""Functions that ask a service."""


def check_statement(formatted: str, reaching_out: Collection[str]) -> None:
    """Let one statement pass, as `formatQuery` wrote it; `reaching_out` are small names of
    functions. Raises RequestError.
    """
    words = list(_words(formatted))
    first = next((word for word, _ in words if word), "")
    if first not in _READS:
        raise RequestError(164, f"Only reading is allowed here, not {first}", "READONLY")
    for (word, _), (after, _) in zip(words, [*words[1:], ("", False)], strict=True):
        small = word.lower()
        if word == "INTO" and after == "OUTFILE":
            raise RequestError(164, "INTO OUTFILE is not allowed here", "READONLY")
        called = after == "(" and small in reaching_out
        # A function can be handed over by its name alone: APPLY file, arrayMap(file, ...).
        if called or small in REACHING_OUT or _MODEL.match(small):
            raise RequestError(164, f"{word} is not allowed here", "READONLY")


def _words(sql: str) -> list[tuple[str, bool]]:
    """Words, names and brackets in their order, and whether each was quoted."""
    found = []
    for match in _WORD.finditer(sql):
        name = match["quoted"] if match["quoted"] is not None else match["double"]
        if name is not None:
            found.append((name, True))
        elif match["word"] or match["other"] == "(":
            found.append((match[0], False))
        else:
            found.append(("", False))
    return found
