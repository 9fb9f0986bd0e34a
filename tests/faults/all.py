"""All faults there are."""

from tests.faults import absences, clocks, doubles, feeds, kills, poison, shards, stores
from tests.faults.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for module in (kills, absences, doubles, stores, shards, feeds, poison, clocks)
    for fault in module.FAULTS
}
