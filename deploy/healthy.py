# ruff: noqa: INP001 - a script, in no package
"""Whether a dataflow is well: it answers, and has stored something of late.

python deploy/healthy.py [ADDRESS]     exit status 0, or 1 and the reason

ADDRESS is that of its metrics, by default those of CANDLEWAX_METRICS_PORT here. Needs
nothing but Python.
"""

import http.client
import math
import os
import sys
import time
import urllib.error
import urllib.request

METRIC = "candlewax_last_commit_timestamp_seconds"
OLDEST = 60.0
"""Seconds since the last commit that are still well: some epochs of Bytewax."""

TIMEOUT = 5.0


def last_commit(metrics: str) -> float | None:
    """The latest time that a text of metrics names, of any worker; None if none."""
    times = [
        float(fields[0])
        for line in metrics.splitlines()
        if (rest := line.removeprefix(METRIC)) != line
        and rest[:1] in {" ", "{"}
        and (fields := rest.rpartition("}")[2].split())
    ]
    return max((at for at in times if math.isfinite(at) and at > 0), default=None)


def wrong(address: str, now: float) -> str | None:
    """What is wrong with the dataflow that serves metrics at an address, if anything."""
    # Whatever proxy the environment names is not for this.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=TIMEOUT) as answer:
            at = last_commit(answer.read().decode())
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"no metrics: {reason}"
    if at is None:
        return "nothing committed yet"
    if now - at > OLDEST:
        return f"last commit {now - at:.0f} s ago"
    return None


def main(arguments: list[str]) -> int:
    """Check one dataflow."""
    port = os.environ.get("CANDLEWAX_METRICS_PORT", "")
    if not arguments and not port:
        print("CANDLEWAX_METRICS_PORT is not set")
        return 1
    reason = wrong(arguments[0] if arguments else f"http://127.0.0.1:{port}/metrics", time.time())
    print(reason or "well")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
