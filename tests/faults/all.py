"""All faults there are."""

from tests.faults import (
    absences,
    clocks,
    days,
    disks,
    doubles,
    everything,
    feeds,
    foreign,
    incomplete,
    kills,
    lives,
    numbers,
    poison,
    real_clock,
    refusals,
    restarts,
    shards,
    stores,
    venues,
)
from tests.faults.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for module in (
        kills,
        restarts,
        lives,
        venues,
        absences,
        disks,
        feeds,
        incomplete,
        numbers,
        refusals,
        everything,
        poison,
        doubles,
        stores,
        shards,
        foreign,
        days,
        clocks,
        real_clock,
    )
    for fault in module.FAULTS
}
