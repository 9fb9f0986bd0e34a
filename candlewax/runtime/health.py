"""Whether a process is well: what it must do to be ready, and what keeps it from that."""

from collections.abc import Callable

Check = Callable[[], str | None]
"""Says what is wrong; None if nothing is."""


class Health:
    """The checks of a process, each by its name; may be asked from any thread."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Check one thing more whenever somebody asks."""
        self._checks[name] = check

    def problems(self) -> dict[str, str | None]:
        """By the name of each check what is wrong, or None."""
        return {name: _asked(check) for name, check in list(self._checks.items())}


def _asked(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong
        return f"cannot be told: {error!r}"
