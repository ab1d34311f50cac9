"""Where the time of one `sftdata prepare` goes: run as a program of its own, prints JSON.

    python tests/bench/stages.py DATA TOKENIZER OUT [KEY=VALUE]... [--engine local|ray] [--workers N]

The command line's own way through the program, with a clock in place of the progress bar.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path


def process_start() -> float:
    """When this process started, in seconds of the monotonic clock."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / 100  # clock ticks since boot
    return time.monotonic() - (float(Path("/proc/uptime").read_text().split()[0]) - started)


class Clock:
    """Notes when each stage started, and when its last piece was done."""

    def __init__(self) -> None:
        self.stages: dict[str, list[float]] = {}
        self._stage = ""

    def start(self, stage: str, total: int, rows: int = 0) -> None:
        self._stage = stage
        self.stages[stage] = [time.monotonic()] * 2

    def advance(self, rows: int, tokens: int) -> None:
        self.stages[self._stage][1] = time.monotonic()

    def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def main() -> None:
    started = process_start()
    from sftdata.cli.shared import config_of
    from sftdata.pipeline.prepare import prepare

    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("tokenizer")
    parser.add_argument("out")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--workers", type=int)
    given = parser.parse_intermixed_args()
    config = config_of([given.data, *given.settings], {"tokenizer": given.tokenizer, "out": given.out})
    clock = Clock()
    prepare(config, engine=given.engine, workers=given.workers, progress=clock)
    end = time.monotonic()
    seconds = {}
    before, name = started, "start"
    for stage, (first, last) in clock.stages.items():
        seconds[f"before {stage}" if before != started else name] = first - before
        seconds[stage] = last - first
        before = last
    seconds["ledger, manifest, publishing"] = end - before
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
