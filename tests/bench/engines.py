"""Engines of prepare against each other: rows per second by workers, and what Ray itself takes.

python tests/bench/engines.py DATA TOKENIZER OUT WORKERS    what bench.py starts: one run, its figures as JSON
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from measure import family, proportional_bytes, started

RAY_ITSELF = "Ray itself"


def work_of(process: str) -> str:
    """What a process of a run with Ray does, by its command line."""
    if "ray::_call" in process or "ray::IDLE" in process:
        return "workers"
    is_of_ray = any(name in process for name in ("gcs_server", "raylet", "/ray/", "ray::"))
    return RAY_ITSELF if is_of_ray else "the command"


def peaks_and_seconds(command: list[str]) -> tuple[float, dict[str, float], dict[str, float], str]:
    """Seconds of a run; the largest sum of bytes and the processor seconds of each kind of process; what it prints."""
    start = time.perf_counter()
    peaks: dict[str, float] = {}
    used: dict[int, tuple[str, float]] = {}
    with started(command, is_read=True) as process:
        while process.poll() is None:
            now: dict[str, float] = {}
            for pid in family(process.pid):
                kind = work_of(_text(f"/proc/{pid}/cmdline"))
                now[kind] = now.get(kind, 0.0) + proportional_bytes(pid)
                used[pid] = kind, max(_processor_seconds(pid), used.get(pid, ("", 0.0))[1])
            peaks = {kind: max(peaks.get(kind, 0.0), size) for kind, size in {**peaks, **now}.items()}
            time.sleep(0.2)
        printed = process.stdout.read().decode() if process.stdout else ""
    if process.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    seconds: dict[str, float] = {}
    for kind, took in used.values():
        seconds[kind] = seconds.get(kind, 0.0) + took
    return time.perf_counter() - start, peaks, seconds, printed


def _text(path: str) -> str:
    try:
        return Path(path).read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _processor_seconds(pid: int) -> float:
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100 if fields else 0.0


def timed_call(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """A result, and the seconds that it took."""
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def main(data: str, tokenizer: str, out: str, workers: int) -> None:
    """One run with Ray on this machine, that says how long its workers were in calls."""
    from engines import timed_call  # as workers import it

    import sftdata.engines.ray
    from sftdata.config import parse_config
    from sftdata.engines.ray import RayLauncher
    from sftdata.pipeline.prepare import prepare

    figures = {"seconds": 0.0, "in_calls": 0.0}

    class Timed(RayLauncher):
        """Adds up the seconds of runs, and of calls in workers."""

        def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
            start = time.perf_counter()
            for number, (seconds, result) in super().run(partial(timed_call, function), calls):
                figures["in_calls"] += seconds
                yield number, result
            figures["seconds"] += time.perf_counter() - start

    sftdata.engines.ray.RayLauncher = Timed  # type: ignore[misc]
    config = parse_config({"tokenizer": tokenizer, "sources": [data], "out": {"path": out}})
    prepare(config, workers=workers, engine="ray")
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:4], workers=int(sys.argv[4]))
