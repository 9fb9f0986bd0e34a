"""Words of a command line, and a clear end if a command does not take one."""

import argparse
from collections.abc import Sequence


def parse_words(
    parser: argparse.ArgumentParser, name: str, words: Sequence[str]
) -> argparse.Namespace:
    """Return the options of a command; end the process with status 2 if it takes no such word."""
    options, unknown = parser.parse_known_args(words)
    if unknown:
        # argparse would show the usage of `candlewax COMMAND`, which tells nothing.
        parser.exit(
            2,
            f"candlewax {name}: takes no {' '.join(unknown)}; candlewax {name} --help lists what "
            "it takes\n",
        )
    return options
