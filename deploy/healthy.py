# ruff: noqa: INP001 - a script, in no package
"""Whether a process of Candlewax is ready: its feeds are fresh, and what comes is stored.

python deploy/healthy.py [ADDRESS]     exit status 0, or 1 and the reasons

ADDRESS is where it says so, by default /readyz at CANDLEWAX_METRICS_PORT here. Needs nothing
but Python.
"""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request

TIMEOUT = 5.0


def wrong(address: str) -> str | None:
    """What is wrong with the process that answers at an address, if anything."""
    # Whatever proxy the environment names is not for this.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=TIMEOUT):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return reasons(error.read()) or f"no answer: {error}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"no answer: {reason}"


def reasons(answer: bytes) -> str:
    """The checks that fail, of what a process that is not ready says."""
    try:
        checks = json.loads(answer)["checks"]
        failing = [f"{name}: {said}" for name, said in checks.items() if said != "ok"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return "\n".join(failing) or "something has failed"


def main(arguments: list[str]) -> int:
    """Check one process."""
    port = os.environ.get("CANDLEWAX_METRICS_PORT", "")
    if not arguments and not port:
        print("CANDLEWAX_METRICS_PORT is not set")
        return 1
    reason = wrong(arguments[0] if arguments else f"http://127.0.0.1:{port}/readyz")
    print(reason or "ready")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
