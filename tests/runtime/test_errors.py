"""Failures that say why."""

import logging

import pytest

from candlewax.runtime import errors
from candlewax.runtime.errors import has_failed, log_failure, log_failures


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_failures", [])


@log_failures
class Step:
    """Fails where the engine calls it."""

    def on_batch(self, number: int) -> int:
        """Fail at nought."""
        return 1 // number

    def snapshot(self) -> int:
        """Fail further within."""
        return self.on_batch(0)

    def next_batch(self) -> None:
        """End."""
        raise StopIteration


def test_a_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With its stack, however many layers it passes."""
    with pytest.raises(ZeroDivisionError):
        Step().snapshot()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "division" in record.getMessage()
    assert record.exc_info is not None
    assert has_failed()
    with pytest.raises(ZeroDivisionError):
        log_failure(lambda: 1 // 0)()
    assert len(caplog.records) == 2


def test_what_is_no_failure_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """Values, and the end of a source."""
    assert Step().on_batch(1) == 1
    with pytest.raises(StopIteration):
        Step().next_batch()
    assert caplog.records == []
    assert not has_failed()
