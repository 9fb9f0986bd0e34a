"""The wheel of the checkout, built once."""

from pathlib import Path

import pytest

from tests.support.installed import build_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout, as `make wheel` builds it."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))
