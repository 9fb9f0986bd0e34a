"""Failures of steps are logged with their cause."""

import logging

import pytest

from candlewax.runtime import errors
from candlewax.runtime.errors import has_failed, log_failure, log_failures


@pytest.fixture(autouse=True)
def _no_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_failures", [])


@log_failures
class Step:
    """A step whose callbacks fail."""

    def on_batch(self, number: int) -> int:
        """Fail at zero."""
        return 1 // number

    def snapshot(self) -> int:
        """Fail in a nested call."""
        return self.on_batch(0)

    def next_batch(self) -> None:
        """End the source."""
        raise StopIteration


def test_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback, through any number of layers."""
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


def test_return_value_and_end_of_a_source_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert Step().on_batch(1) == 1
    with pytest.raises(StopIteration):
        Step().next_batch()
    assert caplog.records == []
    assert not has_failed()
