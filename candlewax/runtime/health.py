"""Health checks of a process."""

from collections.abc import Callable

Check = Callable[[], str | None]
"""Function that returns the text of a problem, or None."""


class Health:
    """Checks of a process by name. Any thread may ask for their results."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Add a check."""
        self._checks[name] = check

    def problems(self) -> dict[str, str | None]:
        """Run all checks; return for each name the text of its problem, or None."""
        return {name: _run_check(check) for name, check in list(self._checks.items())}


def _run_check(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a failed check is a problem
        return f"the check failed: {error!r}"
