"""Workers of this process and of its cluster, from the options of Bytewax."""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from candlewax.pipeline.shard_keys import worker_of

_ADDRESSES: Final = "BYTEWAX_ADDRESSES"
_PROCESS: Final = "BYTEWAX_PROCESS_ID"
_POD: Final = "BYTEWAX_POD_NAME"
_STATEFUL_SET: Final = "BYTEWAX_STATEFULSET_NAME"
_HOSTS: Final = "BYTEWAX_HOSTFILE_PATH"
_WORKERS: Final = "BYTEWAX_WORKERS_PER_PROCESS"


@dataclass(frozen=True)
class Cluster:
    """Number of processes and of workers in each, and the number of this process, from 0."""

    processes: int = 1
    workers: int = 1
    number: int = 0

    @property
    def has_other_workers(self) -> bool:
        """True if there is more than one worker."""
        return self.processes * self.workers > 1

    def runs_key(self, key: str) -> bool:
        """Return True if a worker of this process has the state of a key."""
        return worker_of(key, self.processes * self.workers) // self.workers == self.number


def find_cluster() -> Cluster:
    """Return the cluster that the Bytewax options of this process describe."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-w", "--workers-per-process", default=os.environ.get(_WORKERS))
    parser.add_argument("-i", "--process-id", default=os.environ.get(_PROCESS))
    parser.add_argument("-a", "--addresses", default=os.environ.get(_ADDRESSES))
    options, _ = parser.parse_known_args(sys.argv[1:])
    number = options.process_id or _pod_number()
    addresses = options.addresses or (_listed_hosts() if number else "")
    return Cluster(
        max(1, len([address for address in addresses.split(";") if address])),
        max(1, _number(options.workers_per_process, 1)),
        _number(number, 0),
    )


def _pod_number() -> str:
    """Return the number of the process in a stateful set of Kubernetes, "" outside."""
    pod, stateful_set = os.environ.get(_POD, ""), os.environ.get(_STATEFUL_SET, "")
    return pod.removeprefix(f"{stateful_set}-") if pod and stateful_set else ""


def _listed_hosts() -> str:
    """Return the addresses in the file of hosts of a stateful set, "" without one."""
    path = os.environ.get(_HOSTS)
    lines = Path(path).read_text().splitlines() if path else []
    return ";".join(line.strip() for line in lines if line.strip())


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
