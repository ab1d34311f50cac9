"""Speed and memory of `sftdata prepare`, as ratios measured in one run. Run by hand with `make bench`; decides no test.

    python tests/bench/bench.py [--runs 5] [--records 1000000] [--only prepare,stages,...]

Needs the shared folder (data, tokenizers and the TRL baseline); see tests/conftest.py for where it is looked for.
Every figure is of whole processes: start-up, imports and the writing of the dataset are included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SFTDATA_SHARED", ROOT.parent / "shared"))
MIX = SHARED / "data" / "mix20k.jsonl"
TOKENIZER = SHARED / "tokenizers" / "smollm2"
# The tokenizer's own template, with its answers marked as TRL asks for.
MARKED = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou"
    " are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}"
    "{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ENVIRONMENT = {**os.environ, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000, help="records of the growth and memory runs")
    parser.add_argument("--only", default="prepare,startup,encoders,packing,growth")
    args = parser.parse_args()
    if not MIX.is_file():
        sys.exit("the shared folder is not here: set SFTDATA_SHARED")
    with tempfile.TemporaryDirectory(prefix="sftdata_bench_") as name:
        work = Path(name)
        rows: list[tuple[str, str]] = []
        for part in args.only.split(","):
            rows += PARTS[part](work, args)
    width = max(len(label) for label, _ in rows)
    table = "\n".join(f"{label:<{width}}  {figure}" for label, figure in rows)
    print(table)
    command = f"python tests/bench/bench.py --runs {args.runs} --records {args.records} --only {args.only}"
    results = Path(__file__).with_name("RESULTS.md")
    results.write_text(f"# Benchmarks\n\n{machine()}\n\n    {command}\n\n```\n{table}\n```\n", encoding="utf-8")
    print(f"\nwritten to {results}")


def machine() -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"Machine: {cores} cores ({platform.machine()}), {memory:.0f} GiB memory, Python {platform.python_version()}, "
        "shared with other work, so that only ratios of one run mean something."
    )


def timed(command: list[str]) -> float:
    """Seconds that a command takes from start to end. Ends the benchmark where it fails."""
    start = time.perf_counter()
    subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def sftdata(out: Path, *arguments: str) -> list[str]:
    """The command line of a fresh preparation into `out`."""
    shutil.rmtree(out, ignore_errors=True)
    return [sys.executable, "-m", "sftdata", "prepare", *arguments, "--tokenizer", str(TOKENIZER), "--out", str(out)]


def bench_prepare(work: Path, args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """prepare against the trainer preparing the data itself, run by turns."""
    marked = work / "marked"
    shutil.copytree(TOKENIZER, marked)
    (marked / "chat_template.jinja").chmod(0o644)
    (marked / "chat_template.jinja").write_text(MARKED, encoding="utf-8")
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(args.runs):
        ours.append(timed(sftdata(work / "out", str(MIX))))
        baseline = [sys.executable, str(SHARED / "bench" / "trl_prepare.py"), str(MIX), str(marked)]
        done = subprocess.run(baseline, check=True, env=ENVIRONMENT, capture_output=True, text=True)
        theirs.append(json.loads(done.stdout.splitlines()[-1])["prepare_s"])
    ratio = statistics.median(theirs) / statistics.median(ours)
    yield "TRL SFTTrainer prepare_s (2 processes), median", f"{statistics.median(theirs):.1f} s"
    yield "sftdata prepare, whole process, median", f"{statistics.median(ours):.2f} s, {ratio:.1f} times faster"
    manifest = json.loads((work / "out" / "manifest.json").read_text())
    yield "packing fill", f"{manifest['packing']['fill']:.2%} of {manifest['packing']['rows']:,} rows"


def bench_startup(work: Path, args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """What a user waits for when there is nearly nothing to do."""
    small = work / "small.jsonl"
    with MIX.open("rb") as file:
        small.write_bytes(b"".join(next(file) for _ in range(100)))
    python = statistics.median(timed([sys.executable, "-c", "pass"]) for _ in range(args.runs))
    help_ = statistics.median(timed([sys.executable, "-m", "sftdata", "--help"]) for _ in range(args.runs))
    hundred = statistics.median(timed(sftdata(work / "out", str(small))) for _ in range(args.runs))
    yield "sftdata --help", f"{help_:.2f} s (an empty Python: {python:.2f} s)"
    yield "sftdata prepare, 100 rows", f"{hundred:.2f} s"


def bench_encoders(work: Path, args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """One thread of each encoder on the same texts."""
    from sftdata.encode.encoder import Encoder

    pipeline = (TOKENIZER / "tokenizer.json").read_text(encoding="utf-8")
    texts = [message["content"] for line in MIX.open("rb") for message in json.loads(line)["messages"]][:10_000]
    seconds = {}
    for backend in ("fastokens", "tokenizers"):
        encoder = Encoder(pipeline, backend)  # type: ignore[arg-type]
        encoder.encode(texts[:100])
        start = time.perf_counter()
        encoder.encode(texts)
        seconds[backend] = time.perf_counter() - start
    ratio = seconds["tokenizers"] / seconds["fastokens"]
    yield "fastokens against tokenizers, one process", f"{ratio:.0f} times faster"


def bench_packing(work: Path, args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Packing alone, and its distance from the bound that no packing can beat."""
    import numpy as np

    from sftdata.store.pack import pack

    rng = np.random.default_rng(0)
    for count in (100_000, 10_000_000):
        lengths = np.clip(rng.lognormal(5.0, 0.9, count), 8, 2048).astype(np.int64)
        start = time.perf_counter()
        packed = pack(lengths, 2048, "best_fit")
        seconds = time.perf_counter() - start
        bound = -(-int(lengths.sum()) // 2048)
        yield f"packing {count:,} samples", f"{seconds:.2f} s, {packed.num_rows / bound - 1:.3%} over the lower bound"


def bench_growth(work: Path, args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Ten times the rows, and peak memory of all processes together."""
    large = work / "large.jsonl"
    small = work / "tenth.jsonl"
    write_corpus(large, args.records)
    write_corpus(small, args.records // 10)
    tenth_s, _ = timed_with_memory(sftdata(work / "out", str(small)))
    whole_s, peak = timed_with_memory(sftdata(work / "out", str(large)))
    allowed = 1.2e9 + 300 * args.records
    yield f"growth, {args.records // 10:,} to {args.records:,} records", f"{whole_s / tenth_s:.2f} times the time"
    memory = f"{peak / 1e9:.2f} GB (the aim: at most {allowed / 1e9:.2f} GB)"
    yield f"peak memory of all processes, {args.records:,} records", memory


def write_corpus(path: Path, records: int) -> None:
    """The mixed data over and over, each round with another sentence, so that few are duplicates."""
    lines = [json.loads(line) for line in MIX.open("rb")]
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            row = lines[number % len(lines)]
            messages = [dict(message) for message in row["messages"]]
            messages[0]["content"] = f"[{number // len(lines)}] {messages[0]['content']}"
            file.write(json.dumps({"messages": messages}) + "\n")


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
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    fields = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return 1024.0 * int(fields.get("Pss_Anon", fields.get("Pss", "0")))


PARTS: dict[str, Callable[[Path, argparse.Namespace], Iterator[tuple[str, str]]]] = {
    "prepare": bench_prepare,
    "startup": bench_startup,
    "encoders": bench_encoders,
    "packing": bench_packing,
    "growth": bench_growth,
}

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
