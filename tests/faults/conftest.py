"""The stage that the faults of a file share."""

from collections.abc import Iterator

import pytest

from tests.faults.fault import SHORT
from tests.faults.place import opened
from tests.faults.stage import Stage, staged
from tests.support.kafka.fixtures import need_jars


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Live feeds that all faults share: each fault begins after the one before, and the account is
    of all received frames. No other test uses the broker and the server, as faults end them.
    """
    need_jars()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        folder = tmp_path_factory.mktemp("faults")
        with opened(folder, SHORT) as place, staged(place, altered=True) as made:
            yield made
