"""Whether a process is well."""

from candlewax.runtime.health import Health


def test_each_check_says_what_is_wrong() -> None:
    """By its name; one that fails to be told is wrong too."""
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
