"""One measurement in a process of its own: `python -m bench.task '{...}'`.

Prints a line of JSON: the task, its seconds, those of processor time, and the peak memory of the
process.
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(text: str) -> None:
    """Pin the process, measure, and print the result."""
    task: dict[str, Any] = json.loads(text)
    os.sched_setaffinity(0, task["cores"])
    # Polars counts the cores when it is imported, which happens in `_measure`.
    result = _measure(task)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({**task, **result, "peak_mb": peak}))


def _measure(task: dict[str, Any]) -> dict[str, Any]:
    from bench import candlewax_itself, clickhouse_alone, fold_windows  # noqa: PLC0415

    log = Path(task.get("log", ""))
    count: int = task["frames"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clickhouse"
        if task["what"] == "candlewax":
            timing = candlewax_itself.run(log, folder)
        elif task["what"] == "batches":
            timing = candlewax_itself.run_batches(count, task["size"], folder)
        elif task["what"] == "windows":
            timing = fold_windows.run(log, count)
        else:
            timing = clickhouse_alone.run(log, folder, cascaded=task["what"] == "cascaded")
        result = {
            "seconds": round(timing.seconds, 3),
            "processor_s": round(timing.processor_s, 3),
            "per_second": round(count / timing.seconds),
        }
        if task.get("sizes"):
            result["bytes_per_trade"] = candlewax_itself.bytes_per_trade(folder, count)  # type: ignore[assignment]
        return result


if __name__ == "__main__":
    main(sys.argv[1])
