"""A real browser: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium() -> str:
    """Where it is; skips, or fails where tests may not be skipped, if it is nowhere."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found:
        return found
    reason = "there is no chromium on the PATH (Debian and Ubuntu: apt-get install chromium)"
    if os.environ.get("CANDLEWAX_TEST_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def launched() -> Iterator[Browser]:
    """Run a browser. Nothing else may run an event loop in this thread meanwhile."""
    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module."""
    with launched() as opened:
        yield opened


SIZE: Final[ViewportSize] = {"width": 1280, "height": 800}

_idle: Final[WeakKeyDictionary[Browser, dict[tuple[str, ...], Page]]] = WeakKeyDictionary()


@contextmanager
def lent(
    browser: Browser,
    size: ViewportSize = SIZE,
    scripts: Sequence[str] = (),
    **media: Any,
) -> Iterator[Page]:
    """Lend an empty page that runs some scripts before those of each document. It is used again,
    as to open one takes three times as long as to load it: routes and what it has stored are
    removed, listeners are the test's to remove. After a failure it is not used again.
    """
    idle = _idle.setdefault(browser, {})
    page = idle.pop(tuple(scripts), None)
    if page is None:
        page = browser.new_context().new_page()
        for script in scripts:
            page.add_init_script(script)
    page.set_viewport_size(size)
    page.emulate_media(**{"color_scheme": "dark", "reduced_motion": "null", **media})
    yield page
    page.unroute_all(behavior="ignoreErrors")
    if page.url.startswith("http"):
        page.evaluate("localStorage.clear()")
    page.context.clear_cookies()
    page.goto("about:blank")
    idle[tuple(scripts)] = page
