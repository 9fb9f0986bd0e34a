"""How many examples property tests try."""

import os
from typing import Final

from hypothesis import settings

EXAMPLES: Final = int(os.environ.get("CANDLEWAX_TEST_EXAMPLES", "40"))
"""Examples of a test that is cheap. They are the first of a longer list: more of them find more."""


def examples(share: int) -> settings:
    """Return settings for `share` of every 40 examples, for a test that runs a whole dataflow."""
    return settings(max_examples=max(1, share * EXAMPLES // 40))
