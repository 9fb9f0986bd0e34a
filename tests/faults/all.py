"""All faults there are."""

from tests.faults import (
    absences,
    clocks,
    days,
    disks,
    doubles,
    feeds,
    incomplete,
    kills,
    lives,
    poison,
    real_clock,
    restarts,
    shards,
    stores,
)
from tests.faults.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for module in (
        kills,
        restarts,
        lives,
        absences,
        disks,
        feeds,
        incomplete,
        poison,
        doubles,
        stores,
        shards,
        days,
        clocks,
        real_clock,
    )
    for fault in module.FAULTS
}
