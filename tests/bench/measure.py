"""Seconds and memory of whole commands, children included."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ENVIRONMENT = {**os.environ, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
# With it a checkout would be compiled in every run, which no installed package is.
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def machine() -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    models = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return (
        f"Machine: {cores} cores ({models[0] if models else platform.machine()}), {memory:.0f} GiB memory, "
        f"Python {platform.python_version()}, shared with other work, so that only ratios of one run mean something."
    )


def timed(command: list[str], environment: Mapping[str, str] = {}) -> float:
    """Seconds that a command takes from start to end. Ends the benchmark where it fails."""
    start = time.perf_counter()
    output(command, environment)
    return time.perf_counter() - start


def output(command: list[str], environment: Mapping[str, str] = {}) -> str:
    """What a command prints. Ends the benchmark where it fails."""
    done = subprocess.run(command, env={**ENVIRONMENT, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"failed: {' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def timed_with_memory(command: list[str]) -> tuple[float, float]:
    """Seconds and the largest sum of resident bytes (shared pages counted once) of a command and its children."""
    start = time.perf_counter()
    peak = 0.0
    with started(command) as process:
        while process.poll() is None:
            peak = max(peak, sum(proportional_bytes(pid) for pid in family(process.pid)))
            time.sleep(0.2)
    if process.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, peak


@contextmanager
def started(command: list[str], *, is_read: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    output = subprocess.PIPE if is_read else subprocess.DEVNULL
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=output, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def proportional_bytes(pid: int) -> float:
    """A process's share of memory without the pages of files, which the system can take back."""
    fields = {line.split(":")[0]: line.split()[1] for line in _lines(f"/proc/{pid}/smaps_rollup")[1:]}
    return 1024.0 * int(fields.get("Pss_Anon", fields.get("Pss", "0")))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
