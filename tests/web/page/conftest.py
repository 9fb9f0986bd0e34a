"""The browser that the tests of the page share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import launched


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for the package."""
    with launched() as opened:
        yield opened
