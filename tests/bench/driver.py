"""What the process of `sftdata prepare` itself holds, in bytes per record, for each of its steps.

    python tests/bench/driver.py [--sizes 1000000,2000000,4000000] [--tokenizer FOLDER] [--work FOLDER] [--workers 2]

Every global step is on: exact and near duplicates, prefixes, caps, decontamination, a mixture of three sources with
weights and `max_records`, a validation split, a kept column, and many shards. The records are made on the spot, with a
fixed seed: texts of twelve words, for how long they are does not matter to what this process holds. Tasks run in other
processes, as they do on a cluster. Writes docs/results/driver.json, of which docs/generate.py makes a table in
docs/scale.md.

What is counted is anonymous memory (RssAnon), less what the process held before the run. Pages of files, such as the
mapped results of tasks, are not counted: the system takes them back when memory is short.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SFTDATA_SHARED", ROOT.parent / "shared"))
RESULT = ROOT / "docs" / "results" / "driver.json"
SEED = 20
SOURCES = (0.5, 0.3, 0.2)  # shares of the records
BLOCK = 100_000  # records made at a time
EVERY_S = 0.01  # between two looks at the memory
# What a record is: its own words, or a copy of an earlier one of the block that differs as said.
KINDS = {"own": 0.819, "same": 0.05, "last word": 0.10, "answer": 0.03, "evaluation item": 0.001}
PROMPT, ANSWER, ITEM = 9, 3, 9  # words
# The functions of `prepare` at which a step begins -> what the step is called. A step ends where the next one begins.
STEPS = {
    "read_rows": "read",
    "drop_exact_duplicates": "exact duplicates",
    "drop_near_duplicates": "near-duplicates",
    "drop_shared_prefixes": "shared prefixes",
    "drop_contaminated": "decontamination",
    "drop_over_caps": "caps",
    "encode_rows": "encode",
    "drop_over_max_records": "max_records",
    "choose_validation": "validation split",
    "mix_sources": "mixture",
    "pack_samples": "pack",
    "write_shards": "shards and ledger",
    "make_manifest": "manifest",
}


def words(rng: np.random.Generator) -> np.ndarray:
    """5,000 made words of two or three syllables."""
    syllables = np.array([first + second for first in "bdfgklmnprstvz" for second in "aeiou"])
    made = ["".join(rng.choice(syllables, size=2 + number % 2)) for number in range(6_000)]
    return np.array(sorted(set(made))[:5_000])


def make_records(folder: Path, records: int) -> list[Path]:
    """Write the records of three sources, and evaluation.jsonl beside them. Returns the files of the sources."""
    rng = np.random.default_rng(SEED)
    names = words(rng)
    items = rng.integers(len(names), size=(1_000, ITEM))
    lines = [json.dumps({"prompt": " ".join(names[item]), "completion": "none"}) for item in items]
    (folder / "evaluation.jsonl").write_text("\n".join(lines) + "\n")
    paths = []
    for number, share in enumerate(SOURCES):
        paths.append(folder / f"source{number}.jsonl")
        left = round(records * share)
        with paths[-1].open("w") as file:
            while left:
                count = min(left, BLOCK)
                file.writelines(_lines(rng, names, items, count, max(records // 20, 1)))
                left -= count
    return paths


def _lines(rng: np.random.Generator, names: np.ndarray, items: np.ndarray, count: int, users: int) -> Iterator[str]:
    """Some records as JSON lines."""
    text = rng.integers(len(names), size=(count, PROMPT + ANSWER))
    kind = rng.choice(len(KINDS), size=count, p=list(KINDS.values()))
    of = (rng.random(count) * np.arange(count)).astype(np.int64)
    for at in np.flatnonzero((kind > 0) & (kind < 4)).tolist():
        kept = {1: PROMPT + ANSWER, 2: PROMPT + ANSWER - 1, 3: PROMPT}[int(kind[at])]
        text[at, :kept] = text[of[at], :kept]
    planted = np.flatnonzero(kind == 4)
    text[planted, :PROMPT] = items[rng.integers(len(items), size=len(planted))]
    user = rng.integers(users, size=count)
    for row, own in zip(names[text].tolist(), user.tolist()):
        prompt, answer = " ".join(row[:PROMPT]), " ".join(row[PROMPT:])
        yield f'{{"prompt": "{prompt}", "completion": "{answer}", "user": "user{own:08}"}}\n'


def settings(files: list[Path], tokenizer: Path, out: Path, records: int) -> dict[str, Any]:
    """Every global step is on, and none of them without effect."""
    weights = (0.55, 0.3, 0.15)
    sources: list[dict[str, Any]] = [
        {"path": str(path), "keep": ["user"], "weight": weight} for path, weight in zip(files, weights)
    ]
    sources[1]["max_records"] = max(1, records // 5)
    return {
        "tokenizer": str(tokenizer),
        "sources": sources,
        "dedup": {"near": "on", "prefix": {"chars": 40}, "caps": [{"column": "user", "max_records": 22}]},
        "decontaminate": {"against": [{"path": str(files[0].with_name("evaluation.jsonl"))}]},
        "split": {"validation": 0.01},
        "out": {"path": str(out), "shard_tokens": 2_000_000},
    }


def anonymous_bytes() -> int:
    """Memory of this process without the pages of files."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


class Meter:
    """Looks at the memory in a thread, and notes for each step the peak, what was held at its end, and its seconds."""

    def __init__(self) -> None:
        self.start = anonymous_bytes()
        self.steps: dict[str, dict[str, float]] = {}
        self._step, self._begun = "", time.monotonic()
        self._lock, self._is_done = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def begin(self, step: str) -> None:
        """From here on it is this step."""
        with self._lock:
            self._note(is_end=True)
            self._step, self._begun = step, time.monotonic()
            self._note()

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_done.set()
        self._thread.join()
        self._note(is_end=True)

    def at_begin(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        """The function, with a step that begins where it is called."""

        def called(*arguments: Any, **named: Any) -> Any:
            self.begin(step)
            return function(*arguments, **named)

        return called

    def _look(self) -> None:
        while not self._is_done.wait(EVERY_S):
            with self._lock:
                self._note()

    def _note(self, *, is_end: bool = False) -> None:
        if self._step:
            held = anonymous_bytes() - self.start
            figures = self.steps.setdefault(self._step, {"peak": 0, "held": 0, "seconds": 0.0})
            figures["peak"] = max(figures["peak"], held)
            if is_end:
                figures["held"], figures["seconds"] = held, round(time.monotonic() - self._begun, 1)


def run_once(files: list[Path], tokenizer: Path, out: Path, records: int, workers: int) -> dict[str, Any]:
    """One run in this process: the steps with their figures, and what it made."""
    from sftdata.config import Config
    from sftdata.pipeline import prepare as story

    config = Config.model_validate(settings(files, tokenizer, out, records))
    used = [0]

    class Folder:  # of the work; the bytes in it are looked at where a stage begins, when those before it are there
        def start(self, stage: str, total: int, rows: int = 0) -> None:
            used[0] = max(used[0], bytes_in(out / ".work"))

        def advance(self, rows: int, tokens: int) -> None: ...

        def finish(self, stage: str, number: int, noun: str, dropped: int) -> None:
            used[0] = max(used[0], bytes_in(out / ".work"))

        def note(self, text: str) -> None: ...

    with Meter() as meter:
        for name, step in STEPS.items():
            setattr(story, name, meter.at_begin(getattr(story, name), step))
        before = time.process_time()
        manifest = story.prepare(config, workers=workers, progress=Folder())
        own_s = time.process_time() - before  # of this process alone
    counts = manifest.counts
    return {
        "records": records,
        "steps": meter.steps,
        "own_processor_s": round(own_s, 1),
        "work_bytes": used[0],
        "out_bytes": bytes_in(out),
        "source_bytes": sum(path.stat().st_size for path in files),
        "tokens": sum(shard.tokens for shard in manifest.shards),
        "shards": len(manifest.shards),
        "packed": counts.packed,
        "dropped": {reason: number for of in counts.dropped.values() for reason, number in of.items()},
        "dataset_hash": manifest.dataset_hash,
        "ledger": [file.sha256 for file in manifest.ledger],
    }


def bytes_in(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000000,2000000,4000000", help="numbers of records")
    parser.add_argument("--tokenizer", type=Path, default=SHARED / "tokenizers" / "smollm2")
    parser.add_argument("--work", type=Path, help="a folder for data and datasets [a temporary one]")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)  # one size, in this process
    args = parser.parse_args()
    if args.only:
        folder = args.work / f"{args.only}"
        files = sorted(folder.glob("source*.jsonl"))
        print(json.dumps(run_once(files, args.tokenizer, folder / "out", args.only, args.workers)))
        return
    with tempfile.TemporaryDirectory(prefix="sftdata_driver_") as temporary:
        runs = []
        for size in args.sizes.split(","):
            folder = Path(args.work or temporary, size)
            folder.mkdir(parents=True, exist_ok=True)
            if not any(folder.glob("source*.jsonl")):
                make_records(folder, int(size))
            shutil.rmtree(folder / "out", ignore_errors=True)
            command = [sys.executable, __file__, "--only", size, "--tokenizer", str(args.tokenizer)]
            command += ["--work", str(folder.parent), "--workers", str(args.workers)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            shutil.rmtree(folder / "out", ignore_errors=True)
            args.result.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n", encoding="utf-8")
    print(args.result)


if __name__ == "__main__":
    main()
