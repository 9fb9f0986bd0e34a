# ruff: noqa: INP001 - a script, in no package
"""Health check of a Candlewax process: exit status 0 if it is ready, else 1 and the reasons.

python deploy/healthy.py [ADDRESS]

ADDRESS is its /readyz, by default at CANDLEWAX_METRICS_PORT on this machine. Needs only Python.
"""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request

TIMEOUT = 5.0


def find_problem(address: str) -> str | None:
    """Return why the process at an address is not ready; None if it is."""
    # A proxy from the environment must not be used.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=TIMEOUT):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return failed_checks(error.read()) or f"no answer: {error}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"no answer: {reason}"


def failed_checks(answer: bytes) -> str:
    """Return the failed checks in an answer of /readyz; an empty text if it has none."""
    try:
        checks = json.loads(answer)["checks"]
        failing = [f"{name}: {state}" for name, state in checks.items() if state != "ok"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return "\n".join(failing) or "something has failed"


def main(arguments: list[str]) -> int:
    """Check one process."""
    port = os.environ.get("CANDLEWAX_METRICS_PORT", "")
    if not arguments and not port:
        print("CANDLEWAX_METRICS_PORT is not set")
        return 1
    reason = find_problem(arguments[0] if arguments else f"http://127.0.0.1:{port}/readyz")
    print(reason or "ready")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
