"""Speed and memory of `sftdata prepare`, as ratios measured in one run. Run by hand with `make bench`; decides no test.

    python tests/bench/bench.py [--runs 5] [--records 1000000] [--only prepare,stages,...]

Needs the shared folder (data, tokenizers and the TRL baseline); see tests/conftest.py for where it is looked for.
Figures of prepare are of whole processes: start-up, imports and the writing of the dataset are included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from corpus import write_corpus
from engines import RAY_ITSELF, peaks_and_seconds
from measure import machine, output, timed, timed_with_memory
from peers import LLAMA_FACTORY, LlamaFactory, Trl

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SFTDATA_SHARED", ROOT.parent / "shared"))
MIX = SHARED / "data" / "mix20k.jsonl"
TOKENIZERS = SHARED / "tokenizers"
TOKENIZER = TOKENIZERS / "smollm2"
PROGRAM = str(Path(sys.executable).with_name("sftdata"))
SEQ_LEN = 2048
NEAR = "dedup.near=on"
ENGINE_SETTINGS = {"": [], ", texts cleaned": ["filters=default", "privacy=redact"]}

TRL = SHARED / "bench" / "trl_prepare.py"
# A program that starts a pool however little data there is.
ALWAYS_POOL = "from sftdata.cli.app import main; from sftdata.pipeline import read; read.SMALL_BYTES = 0; main()"

Line = tuple[str, str, str]  # what, the figure, and what it is to be


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000, help="records of the growth and memory runs")
    parser.add_argument("--only", default=",".join(PARTS))
    args = parser.parse_args()
    if not MIX.is_file():
        sys.exit("the shared folder is not here: set SFTDATA_SHARED")
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="sftdata_bench_") as name:
        for part in args.only.split(","):
            for line in PARTS[part](Path(name), args):
                print(*line, sep="  ", flush=True)
                lines.append(line)
    table = "\n".join(["| measured | figure | aim |", "|---|---|---|", *(f"| {' | '.join(line)} |" for line in lines)])
    command = f"python tests/bench/bench.py --runs {args.runs} --records {args.records} --only {args.only}"
    text = f"# Benchmarks\n\n{machine()}\n\n    {command}\n\n{table}\n"
    if args.only == ",".join(PARTS):
        results = Path(__file__).with_name("RESULTS.md")
        results.write_text(text, encoding="utf-8")
        print(f"\nwritten to {results}")
    else:
        print(f"\n{text}")


def prepare_command(out: Path, *arguments: str) -> list[str]:
    """The command line of a fresh preparation into `out`."""
    shutil.rmtree(out, ignore_errors=True)
    return [PROGRAM, "prepare", *arguments, "--tokenizer", str(TOKENIZER), "--out", str(out)]


def bench_large(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """prepare against TRL on a fifth of the records of the growth runs, run by turns."""
    records = args.records // 5
    large = work / "fifth.jsonl"
    write_corpus(large, MIX, records)
    (work / "large").mkdir()
    yield from against_peers([Trl(TRL, large, TOKENIZER, work / "large")], large, work, 3, ("15 times", "7 times"))


def bench_small(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """The same on 20,000 records: what starting and loading a tokenizer cost."""
    peers: list[Trl | LlamaFactory] = [Trl(TRL, MIX, TOKENIZER, work)]
    if os.environ.get(LLAMA_FACTORY):
        peers.append(LlamaFactory(MIX, TOKENIZER, work))
    yield from against_peers(peers, MIX, work, args.runs, ("6 times", ""))


def against_peers(
    peers: Sequence[Trl | LlamaFactory], data: Path, work: Path, runs: int, aims: tuple[str, str]
) -> Iterator[Line]:
    """prepare, and prepare with near-deduplication, against those who prepare the data in training."""
    with data.open("rb") as file:
        records = f"{sum(1 for _ in file):,} records"
    ours: dict[str, list[float]] = {"": [], NEAR: []}
    theirs: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for _ in range(runs):
        for peer in peers:
            theirs[peer.name].append(peer.seconds())
        for more, seconds in ours.items():
            seconds.append(timed(prepare_command(work / "out", str(data), *filter(None, [more]))))
    medians = {more: statistics.median(seconds) for more, seconds in ours.items()}
    yield f"sftdata prepare, {records}, whole process", f"{medians['']:.2f} s", ""
    yield "the same with near-deduplication", f"{medians[NEAR]:.2f} s", ""
    for name, seconds in theirs.items():
        median = statistics.median(seconds)
        aim, near_aim = aims if name == Trl.name else ("", "")
        yield f"{name}, {records}, two processes, without its imports", f"{median:.1f} s", ""
        yield f"prepare against {name}, {records}", f"{median / medians['']:.1f} times faster", aim
        yield f"prepare with near-deduplication against {name}", f"{median / medians[NEAR]:.1f} times faster", near_aim


def bench_pool(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """From how much data on a pool of processes is faster than one process: read.SMALL_BYTES."""
    data = work / "pool.jsonl"
    for records in (10_000, 20_000, 40_000, 80_000):
        write_corpus(data, MIX, records)
        here = statistics.median(
            timed(prepare_command(work / "out", str(data), "--workers", "1")) for _ in range(args.runs)
        )
        command = [sys.executable, "-c", ALWAYS_POOL, *prepare_command(work / "out", str(data))[1:], "--overwrite"]
        pool = statistics.median(timed(command) for _ in range(args.runs))
        size = data.stat().st_size / (1 << 20)
        yield f"pool of processes against one process, {size:.0f} MB of input", f"{here / pool:.2f} times as fast", ""


def stage_seconds(data: Path, out: Path, more: Sequence[str]) -> dict[str, float]:
    """The seconds of each stage of a fresh run of prepare: see stages.py."""
    shutil.rmtree(out, ignore_errors=True)
    script = str(Path(__file__).with_name("stages.py"))
    printed = output([sys.executable, script, str(data), str(TOKENIZER), str(out), *more])
    seconds: dict[str, float] = json.loads(printed.splitlines()[-1])
    return seconds


def bench_stages(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """Where the time of prepare goes."""
    for more in ([], [NEAR]):
        runs = [stage_seconds(MIX, work / "out", more) for _ in range(args.runs)]
        seconds = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
        total = sum(seconds.values())
        shares = ", ".join(f"{stage} {part / total:.0%}" for stage, part in seconds.items() if part >= total / 100)
        yield f"stages{' with near-deduplication' if more else ''}", shares, ""


def bench_startup(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """What a user waits for when there is nearly nothing to do."""
    small = work / "small.jsonl"
    with MIX.open("rb") as file:
        small.write_bytes(b"".join(next(file) for _ in range(100)))
    python = statistics.median(timed([sys.executable, "-c", "pass"]) for _ in range(args.runs))
    help_ = statistics.median(timed([PROGRAM, "--help"]) for _ in range(args.runs))
    hundred = statistics.median(timed(prepare_command(work / "out", str(small))) for _ in range(args.runs))
    yield "sftdata --help", f"{help_:.2f} s (an empty Python: {python:.2f} s)", "0.4 s"
    yield "sftdata prepare, 100 rows", f"{hundred:.2f} s", "1.5 s"


def bench_encoders(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """One thread of each encoder on the same texts, and whole runs with each."""
    from sftdata.encode.tokenizer.encoder import Encoder

    os.environ["RAYON_NUM_THREADS"] = "1"
    texts = [message["content"] for line in MIX.open("rb") for message in json.loads(line)["messages"]][:10_000]
    for folder in sorted(TOKENIZERS.iterdir()):
        if not (folder / "tokenizer.json").is_file():
            continue
        pipeline = (folder / "tokenizer.json").read_text(encoding="utf-8")
        seconds = {}
        for backend in ("fastokens", "tokenizers"):
            encoder = Encoder(pipeline, backend)  # type: ignore[arg-type]
            encoder.encode(texts[:100])
            start = time.perf_counter()
            encoder.encode(texts)
            seconds[backend] = time.perf_counter() - start
        ratio = seconds["tokenizers"] / seconds["fastokens"]
        yield f"fastokens against tokenizers, one thread, {folder.name}", f"{ratio:.0f} times faster", ""
    whole = {}
    for name in ("fast", "hf"):
        command = prepare_command(work / "out", str(MIX), "--encoder", name)
        whole[name] = statistics.median(timed([*command, "--overwrite"]) for _ in range(min(args.runs, 3)))
    yield "whole prepare, --encoder fast against hf", f"{whole['hf'] / whole['fast']:.1f} times faster", ""


def bench_packing(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """Packing against one global best-fit decreasing, and the bound that no packing can beat."""
    import pyarrow as pa

    from sftdata.store.pack import pack
    from sftdata.store.shards import read_shard

    for more, aim in (([], "0.1 % over"), (["out.shard_tokens=500000"], "")):
        output(prepare_command(work / "out", str(MIX), *more))
        shards = pa.concat_tables([read_shard(path) for path in sorted((work / "out" / "train").iterdir())])
        lengths = shards["seq_lengths"].combine_chunks().flatten().to_numpy()
        count = len(list((work / "out" / "train").iterdir()))
        name = f"packing mix20k.jsonl, {count} shards" if more else "packing mix20k.jsonl, one shard"
        yield name, against(shards.num_rows, global_best_fit(lengths), lengths), aim
    rng = np.random.default_rng(0)
    for count, aim in ((100_000, "1 s"), (10_000_000, "120 s")):
        lengths = np.clip(rng.lognormal(5.0, 0.9, count), 8, SEQ_LEN).astype(np.int64)
        start = time.perf_counter()
        packed = pack(lengths, SEQ_LEN, "best_fit")
        yield f"packing {count:,} samples, one thread", f"{time.perf_counter() - start:.2f} s", aim
    owner = rng.integers(-(-int(lengths.sum()) // 50_000_000), size=len(lengths))
    rows = sum(pack(lengths[owner == shard], SEQ_LEN, "best_fit").num_rows for shard in range(owner.max() + 1))
    yield f"packing {count:,} samples, {owner.max() + 1} shards", against(rows, packed.num_rows, lengths), "0.1 % over"


def against(rows: int, whole: int, lengths: np.ndarray) -> str:
    """A number of packed rows compared with a global packing and with the lower bound."""
    bound = -(-int(lengths.sum()) // SEQ_LEN)
    fill = lengths.sum() / (rows * SEQ_LEN)
    return f"{rows / whole - 1:.3%} over global best fit, {rows / bound - 1:.3%} over the lower bound, fill {fill:.2%}"


def global_best_fit(lengths: np.ndarray) -> int:
    """Rows of best-fit decreasing over all samples, by its definition, one sample at a time."""
    rooms: list[int] = []
    rows = 0
    for length in sorted(lengths.tolist(), reverse=True):
        place = bisect_left(rooms, length)
        if place < len(rooms):
            room = rooms.pop(place)
        else:
            room, rows = SEQ_LEN, rows + 1
        insort(rooms, room - length)
    return rows


def bench_growth(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """Ten times the rows, and peak memory of all processes together."""
    large = work / "large.jsonl"
    small = work / "tenth.jsonl"
    write_corpus(large, MIX, args.records)
    write_corpus(small, MIX, args.records // 10)
    for name, more in (("", []), (" with near-deduplication", [NEAR])):
        tenths: list[float] = []
        wholes: list[float] = []
        peak = 0.0
        for _ in range(2):  # by turns, because the machine's speed changes
            tenths += [timed(prepare_command(work / "out", str(small), *more)) for _ in range(2)]
            seconds, bytes_held = timed_with_memory(prepare_command(work / "out", str(large), *more))
            wholes.append(seconds)
            peak = max(peak, bytes_held)
        tenth_s, whole_s = statistics.median(tenths), statistics.median(wholes)
        counts = json.loads((work / "out" / "manifest.json").read_text())["counts"]
        rate = f"{whole_s:.0f} s, {args.records / whole_s:,.0f} rows/s, {counts['packed']:,} packed"
        yield f"prepare{name}, {args.records:,} records", rate, ""
        yield (
            f"growth{name} from {args.records // 10:,} records",
            f"{whole_s / tenth_s:.2f} times the time",
            "10.5 times",
        )
        yield f"peak memory of all processes{name}, {args.records:,} records", f"{peak / 1e9:.2f} GB", "1.20 GB"


def whole_and_stages(data: Path, out: Path, more: Sequence[str]) -> tuple[float, float]:
    """The seconds of a whole run of prepare, and those from its first row on, in which a pool of processes starts and
    each worker loads the tokenizer.
    """
    start = time.perf_counter()
    seconds = stage_seconds(data, out, more)
    whole = time.perf_counter() - start
    return whole, sum(seconds.values()) - seconds["start"]


def bench_engines(work: Path, args: argparse.Namespace) -> Iterator[Line]:
    """Each engine with one worker and with two, by turns; and Ray on all records: its memory, and its share of time."""
    data, large = work / "engines.jsonl", work / "large.jsonl"
    records = args.records // 5
    write_corpus(data, MIX, records)
    runs: dict[tuple[str, str, int], list[tuple[float, float]]] = {
        (engine, how, n): [] for how in ENGINE_SETTINGS for engine in ("local", "ray") for n in (1, 2)
    }
    for _ in range(min(args.runs, 3)):
        for (engine, how, workers), took in runs.items():
            more = [*ENGINE_SETTINGS[how], "--engine", engine, "--workers", str(workers)]
            took.append(whole_and_stages(data, work / "out", more))
    for engine, how in dict.fromkeys((engine, how) for engine, how, _ in runs):
        name = f"--engine {engine}{how}"
        one, two = ([statistics.median(kind) for kind in zip(*runs[engine, how, workers])] for workers in (1, 2))
        for working, (whole, stages) in (("one worker", one), ("two workers", two)):
            figure = f"{whole:.1f} s, {records / stages:,.0f} rows/s from the first row on"
            yield f"{name}, {working}, {records:,} records", figure, ""
        yield f"{name}, two workers against one, the whole command", f"{one[0] / two[0]:.2f} times as fast", ""
        yield f"{name}, two workers against one, rows/s", f"{one[1] / two[1]:.2f} times as fast", "1.6 times"
    if not large.exists():
        write_corpus(large, MIX, args.records)
    shutil.rmtree(work / "out", ignore_errors=True)
    script = str(Path(__file__).with_name("engines.py"))
    command = [sys.executable, script, str(large), str(TOKENIZER), str(work / "out"), "2"]
    took_s, peaks, used, printed = peaks_and_seconds(command)
    figures = json.loads(printed.splitlines()[-1])
    name = f"--engine ray, two workers, {args.records:,} records"
    yield name, f"{took_s:.0f} s, {args.records / took_s:,.0f} rows/s", ""
    yield f"{name}, peak memory", ", ".join(f"{kind} {size / 1e9:.2f} GB" for kind, size in peaks.items()), ""
    share = used.get(RAY_ITSELF, 0.0) / sum(used.values())
    idle = 1 - figures["in_calls"] / (2 * figures["seconds"])
    yield f"{name}, share of processor time in Ray itself", f"{share:.1%}", ""
    yield f"{name}, share of the workers' time outside of tasks", f"{idle:.1%}", ""


PARTS: dict[str, Callable[[Path, argparse.Namespace], Iterator[Line]]] = {
    "large": bench_large,
    "growth": bench_growth,
    "small": bench_small,
    "pool": bench_pool,
    "stages": bench_stages,
    "startup": bench_startup,
    "encoders": bench_encoders,
    "packing": bench_packing,
    "engines": bench_engines,
}

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
