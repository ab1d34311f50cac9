"""Fuzzing for a while: `make fuzz`, or `python tests/fuzz/fuzz.py --minutes 10 [--seed 7] [schema_target ...]`.

Each target is a module beside this file: EXAMPLES is a hypothesis strategy, and `check` fails for an example that
breaks a promise. A target runs in a process of its own, in rounds of examples. A round has a seed, by which it can be
run again; that is printed for a failure, with the example made as small as hypothesis can, and also where an example
ends the process or hangs it.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

TARGETS = ("reader_target", "schema_target", "template_target", "verify_target")
HERE = Path(__file__).resolve().parent
EXAMPLES_PER_ROUND = 200
MAX_SHOWN = 8000  # characters of an example
MAX_MEMORY = 3 << 30  # bytes of address space beside what is in use at the start
GRACE_SECONDS = 900  # without a line of a target, after which it hangs where Python cannot tell
PHASES = (Phase.explicit, Phase.generate, Phase.target, Phase.shrink)


@dataclass
class Figures:
    """What a target did."""

    examples: int = 0
    slowest: float = 0.0  # seconds of processor time
    last: Any = field(default=None, repr=False)  # the last example that failed

    def checked(self, check: Callable[[Any], None], example: Any) -> None:
        """Check an example, and count it."""
        started = time.process_time()
        try:
            check(example)
        except Exception:
            self.last = example
            raise
        self.examples += 1
        self.slowest = max(self.slowest, time.process_time() - started)


def run_round(target: Any, number: int, num_examples: int, figures: Figures, ends: float | None = None) -> None:
    """Check examples that the seed decides. Raises what the smallest failing one raises; stops when the time is over,
    unless one failed.
    """
    is_failing = False

    @seed(number)
    @settings(
        max_examples=num_examples,
        database=None,
        deadline=None,
        phases=PHASES,
        report_multiple_bugs=False,
        derandomize=False,
        suppress_health_check=[*HealthCheck],
    )
    @given(target.EXAMPLES)
    def each(example: Any) -> None:
        nonlocal is_failing
        if ends is not None and time.monotonic() > ends and not is_failing:
            return
        try:
            figures.checked(target.check, example)
        except Exception:
            is_failing = True
            raise

    each()


def run_target(name: str, first: int, minutes: float, num_rounds: int | None, num_examples: int) -> int:
    """Rounds until the time is over. Says which one runs, and what was found. The exit code."""
    faulthandler.enable()
    limit_memory()
    target = importlib.import_module(name)
    figures = Figures()
    ends = None if num_rounds is not None else time.monotonic() + minutes * 60
    number, done = first, 0
    while done < num_rounds if num_rounds is not None else time.monotonic() < (ends or 0):
        print(f"round {number}", flush=True)
        try:
            run_round(target, number, num_examples, figures, ends)
        except BaseException:  # noqa: BLE001 - a panic of a library in Rust, a full memory: whatever it is, it is told
            traceback.print_exc(file=sys.stdout)
            print(f"the example: {figures.last!r}"[:MAX_SHOWN])
            return 1
        number, done = number + 1, done + 1
    print(f"done: {figures.examples:,} examples, {done:,} rounds, at most {figures.slowest:.1f} s for one", flush=True)
    return 0


def limit_memory() -> None:
    """Let an allocation fail that needs too much, so that it is found and takes no machine."""
    if sys.platform != "linux":
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_MEMORY + (2 << 30), resource.RLIM_INFINITY))  # libraries: 2 GiB


def watch(name: str, options: list[str]) -> bool:
    """Run a target in a process. Prints its figures, or what it found and how to see it again. Whether all is well."""
    command = [sys.executable, str(HERE / "fuzz.py"), "--inside", name, *options]
    places = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), "PYTHONHASHSEED": "0"}
    env.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    assert process.stdout is not None
    number, said = "?", ""
    os.set_blocking(process.stdout.fileno(), True)
    watchdog = Watchdog(process)
    for line in process.stdout:
        watchdog.heard()
        if line.startswith("round "):
            number, said = line.split()[1], ""
        else:
            said = (said + line)[-4 * MAX_SHOWN :]
    code = process.wait()
    watchdog.stop()
    if code == 0:
        print(f"{name}: {said.strip().rpartition('done: ')[2]}", flush=True)
        return True
    how = "was stopped, as it hangs" if watchdog.has_ended else f"ended with {code}"
    again = f"{Path(sys.executable).name} tests/fuzz/fuzz.py {name} --rounds 1 --seed {number}"
    size = options[options.index("--examples") + 1]
    print(f"{said}\n{name}: FOUND SOMETHING ({how}). Again: {again} --examples {size}", flush=True)
    return False


class Watchdog:
    """Ends a process that says nothing for long."""

    def __init__(self, process: subprocess.Popen[str], seconds: float = GRACE_SECONDS) -> None:
        import threading

        self.has_ended = False
        self._process, self._seconds = process, seconds
        self._make: Callable[[], threading.Timer] = lambda: threading.Timer(self._seconds, self._end)
        self._timer = self._make()
        self._timer.start()

    def _end(self) -> None:
        self.has_ended = True
        self._process.kill()

    def heard(self) -> None:
        """The process said something."""
        self.stop()
        self._timer = self._make()
        self._timer.start()

    def stop(self) -> None:
        """Watch no more."""
        self._timer.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description="Look for examples that break a promise.")
    parser.add_argument("targets", nargs="*", default=TARGETS, help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--minutes", type=float, default=10, help="of all targets together")
    parser.add_argument("--rounds", type=int, help="of each target, whatever the time")
    parser.add_argument("--examples", type=int, default=EXAMPLES_PER_ROUND, help="in a round")
    parser.add_argument("--seed", type=int, help="of the first round; by default one that nobody knows")
    parser.add_argument("--inside", metavar="TARGET", help=argparse.SUPPRESS)
    given_options = parser.parse_args()
    first = random.SystemRandom().randrange(10**9) if given_options.seed is None else given_options.seed
    minutes = given_options.minutes / len(given_options.targets)
    if given_options.inside:
        name = given_options.inside
        return run_target(name, first, given_options.minutes, given_options.rounds, given_options.examples)
    options = ["--minutes", str(minutes), "--seed", str(first), "--examples", str(given_options.examples)]
    if given_options.rounds is not None:
        options += ["--rounds", str(given_options.rounds)]
    print(f"seed {first}", flush=True)
    good = [watch(name, options) for name in given_options.targets]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
