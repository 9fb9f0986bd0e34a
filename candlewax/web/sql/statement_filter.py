"""Filter of the statements that HTTP clients may run.

The embedded engine has one user with all rights. It also acts as a client and writes the files that
INTO OUTFILE names. ClickHouse's `readonly = 1` stops writes, changes of settings and table
functions that read elsewhere. Measured on ClickHouse 26.9, it does not stop:

- INTO OUTFILE,
- `SYSTEM STOP MERGES` and `KILL QUERY`,
- the function `file`, and DESCRIBE of table functions that open files or addresses,
- object stores, which are contacted before the engine checks whether that is allowed.

So a statement must be one that reads, and must not name a function that reaches outside.
ClickHouse's own parser formats it: `formatQuery` takes exactly one statement and writes it in one
canonical form without comments. That form is checked and run.
"""

import re
from collections.abc import Collection
from typing import Final

from candlewax.web.sql.http_protocol import RequestError

_READ_KEYWORDS: Final = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS"})

_WORD: Final = re.compile(
    r"'(?:[^'\\]|\\.|'')*'"  # a string
    r"|`(?P<quoted>(?:[^`\\]|\\.|``)*)`"
    r'|"(?P<double>(?:[^"\\]|\\.|"")*)"'
    r"|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<other>\S)",
    re.DOTALL,
)

EXTERNAL_FUNCTIONS: Final = frozenset({"file", "eval", "cluster", "clusterallreplicas"})
"""Functions that read files, run text as a query or ask other servers. ClickHouse itself refuses
the other table functions in read-only mode."""

_AI_FUNCTIONS: Final = re.compile(
    r"ai_?(classify|embed|extract|filter|generate|redact|similarity|trans)"
)
"""Functions that call an AI service."""


def check_statement(formatted: str, external_functions: Collection[str]) -> None:
    """Raise RequestError unless a statement formatted by `formatQuery` only reads.

    `external_functions` are names, in lower case, of functions that reach outside.
    """
    words = list(_words(formatted))
    first = next((word for word, _ in words if word), "")
    if first not in _READ_KEYWORDS:
        raise RequestError(164, f"Only reading is allowed here, not {first}", "READONLY")
    for (word, _), (next_word, _) in zip(words, [*words[1:], ("", False)], strict=True):
        lower = word.lower()
        if word == "INTO" and next_word == "OUTFILE":
            raise RequestError(164, "INTO OUTFILE is not allowed here", "READONLY")
        is_call = next_word == "(" and lower in external_functions
        # A function can be passed by its bare name: APPLY file, arrayMap(file, ...).
        if is_call or lower in EXTERNAL_FUNCTIONS or _AI_FUNCTIONS.match(lower):
            raise RequestError(164, f"{word} is not allowed here", "READONLY")


def _words(sql: str) -> list[tuple[str, bool]]:
    """Return words, names and brackets in order, and whether each was quoted."""
    words = []
    for match in _WORD.finditer(sql):
        name = match["quoted"] if match["quoted"] is not None else match["double"]
        if name is not None:
            words.append((name, True))
        elif match["word"] or match["other"] == "(":
            words.append((match[0], False))
        else:
            words.append(("", False))
    return words
