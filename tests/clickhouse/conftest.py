"""The server that the tests of a module share."""

from collections.abc import Iterator

import pytest

from tests.support.clickhouse_process import PASSWORD, USER, Serving, serving


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment for any address."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with a password. A test that ends it starts it again."""
    with serving(tmp_path_factory.mktemp("server"), USER, PASSWORD) as started:
        yield started
