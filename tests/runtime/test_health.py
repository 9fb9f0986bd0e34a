"""Health checks of a process."""

from candlewax.runtime.health import Health


def test_problems_are_listed_by_check() -> None:
    """A check that raises is a problem too."""
    health = Health()
    assert health.problems() == {}
    health.add("well", lambda: None)
    health.add("ill", lambda: "it coughs")

    def broken() -> str | None:
        raise OSError("no pulse")

    health.add("broken", broken)
    assert health.problems() == {
        "well": None,
        "ill": "it coughs",
        "broken": "the check failed: OSError('no pulse')",
    }
