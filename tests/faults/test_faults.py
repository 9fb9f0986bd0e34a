"""Every fault, shortened: whatever is done, the tables hold what came, each trade once.

`python -m tests.faults --full` plays them for as long as it takes.
"""

from collections.abc import Iterator

import pytest

from tests.faults.all import FAULTS
from tests.faults.fault import SHORT, Fault
from tests.faults.playing import perform
from tests.faults.stage import Place, Stage, opened, staged
from tests.kafka.fixtures import need_jars


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A broker and a server that nobody else uses: they are killed."""
    need_jars()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        with opened(tmp_path_factory.mktemp("faults"), SHORT) as made:
            yield made


@pytest.fixture(scope="module")
def stage(place: Place) -> Iterator[Stage]:
    """Live feeds, which all faults that need them share: each begins where the one before
    it has ended, and the account is of all that ever came.
    """
    with staged(place) as made:
        yield made


def need(fault: Fault) -> None:
    """Skip what cannot be made here."""
    if not fault.needs():
        pytest.skip("it takes root, and a system that lets it mount")


ALONE = [fault for fault in FAULTS.values() if not fault.live]
# A clock that was wrong is known by all that came under it.
LIVE = sorted((fault for fault in FAULTS.values() if fault.live), key=lambda f: not f.steady)


@pytest.mark.parametrize("fault", ALONE, ids=lambda fault: fault.name)
def test_what_begins_anew(place: Place, fault: Fault) -> None:
    """Exactly what came is stored."""
    need(fault)
    outcome = fault.play(place)
    assert outcome.wrong + outcome.account.wrong == []
    assert outcome.account.trades > 100


@pytest.mark.parametrize("fault", LIVE, ids=lambda fault: fault.name)
def test_live_feeds(stage: Stage, fault: Fault) -> None:
    """Exactly what reached the raw topics is stored, what did not is named, all goes on by
    itself.
    """
    need(fault)
    stage.resume()
    before = stage.system.stored()[0]
    outcome = perform(fault, stage)
    assert outcome.wrong + outcome.account.wrong == []
    assert stage.ended == []
    assert outcome.account.trades > before
