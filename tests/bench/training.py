"""Trained tokens per second of `sfttrain run`, beside TRL's SFTTrainer and a bare loop, as ratios measured in one run.

    python tests/bench/training.py MODEL [--runs 2]

MODEL is a folder with SmolLM2-135M-Instruct, such as `make demo` leaves. The rows are the first 48 of mix20k.jsonl, of
the shared folder (see bench.py); a LoRA adapter on all linear layers, float32, answers alone trained. Each is run by
turns in a process of its own, and timed from the first step to the last. Results go to TRAINING.md.

- sfttrain, as its command line runs it: with checks, metrics and the proof on
- TRL's default: each row padded to the longest of its batch of eight
- TRL packed: sequences of 2,048 tokens
- a bare loop over the packed sequences: forward and backward pass, clipping and AdamW, and nothing else
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bench import MIX, SEQ_LEN
from measure import machine, output
from peers import MARKED

RESULTS = Path(__file__).with_name("TRAINING.md")
ROWS, RATE = 48, 1e-3
LORA: dict[str, Any] = {"r": 16, "lora_alpha": 32, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}


def main() -> None:
    """Time each way by turns, and print the medians and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--one", choices=[*WAYS], help="run this one in this process (used by the others)")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(WAYS[args.one](args.model, args.work)))
        return
    speeds: dict[str, list[float]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory(prefix="sfttrain_bench_") as name:
        work = Path(name)
        prepare(args.model, work)
        for _ in range(args.runs):
            for way, found in speeds.items():
                command = [sys.executable, __file__, str(args.model), "--one", way, "--work", str(work)]
                trained, seconds = json.loads(output(command).splitlines()[-1])
                found.append(trained / seconds)
                print(f"{way}: {trained:,} trained tokens, {found[-1]:.1f} a second", flush=True)
    ours = statistics.median(speeds["sfttrain"])
    lines = ["| measured | trained tokens/s | sfttrain against it |", "|---|---|---|"]
    for way, found in speeds.items():
        median = statistics.median(found)
        lines.append(f"| {way} | {median:.1f} | {ours / median:.2f} times |")
    table = "\n".join(lines)
    command = f"python tests/bench/training.py MODEL --runs {args.runs}"
    text = f"# Speed of training\n\n{machine()}\n\n    {command}\n\n{table}\n"
    RESULTS.write_text(text, encoding="utf-8")
    print(f"\nwritten to {RESULTS}")


def prepare(model: Path, work: Path) -> None:
    """The rows as a file, and as shards."""
    with open(MIX, encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, ROWS)]
    data = work / "rows.jsonl"
    data.write_text("".join(json.dumps({"messages": row["messages"]}) + "\n" for row in rows), encoding="utf-8")
    shards = ["--out", str(work / "shards"), "--seq-len", str(SEQ_LEN)]
    output([sys.executable, "-m", "sftdata", "prepare", str(data), "--tokenizer", str(model), *shards])


def of_sfttrain(model: Path, work: Path) -> tuple[int, float]:
    """`sfttrain run`, one sequence a step; its own count and clock, metrics.jsonl."""
    import sfttrain

    result = sfttrain.run(
        {
            "shards": str(work / "shards"),
            "model": str(model),
            "out": str(work / "run"),
            "lora": True,
            "batch_tokens": SEQ_LEN,
            "learning_rate": RATE,
            "dtype": "float32",
            "overwrite": True,
        }
    )
    lines = [json.loads(line) for line in (result.out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    return steps[-1]["trained_tokens"], sum(step_seconds(steps))


def step_seconds(steps: list[dict[str, Any]]) -> Iterator[float]:
    """The time of each step, from its tokens and their rate."""
    before = 0
    for step in steps:
        yield (step["tokens"] - before) / step["tokens_per_second"]
        before = step["tokens"]


def of_trl(model: Path, work: Path, *, packing: bool) -> tuple[int, float]:
    """TRL's SFTTrainer on the file of rows, answers alone trained."""
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    class Counting(SFTTrainer):  # type: ignore[misc]
        trained = 0

        def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
            self.trained += int((inputs["labels"] != -100).sum())
            return super().training_step(model, inputs, num_items_in_batch)

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    tokenizer.chat_template = MARKED
    with tempfile.TemporaryDirectory(dir=work) as out:
        trainer = Counting(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, trust_remote_code=False),
            args=SFTConfig(
                output_dir=out,
                num_train_epochs=1,
                learning_rate=RATE,
                assistant_only_loss=True,
                packing=packing,
                max_length=SEQ_LEN,
                per_device_train_batch_size=1 if packing else 8,
                use_cpu=True,
                bf16=False,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=load_dataset("json", data_files=str(work / "rows.jsonl"), split="train", cache_dir=out),
            processing_class=tokenizer,
            peft_config=LoraConfig(**LORA),
        )
        start = time.perf_counter()
        trainer.train()
        return trainer.trained, time.perf_counter() - start


def of_bare_loop(model: Path, work: Path) -> tuple[int, float]:
    """A loop in plain torch over the packed sequences, with the attention and the logits that sfttrain computes."""
    import pyarrow as pa
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from sfttrain.trainer.attention import BY_SAMPLE, use_by_sample

    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, trust_remote_code=False)
    assert use_by_sample(base)
    base.set_attn_implementation(BY_SAMPLE)
    llama = get_peft_model(base, LoraConfig(**LORA)).train()
    weights = [one for one in llama.parameters() if one.requires_grad]
    updates = torch.optim.AdamW(weights, lr=RATE, weight_decay=0, fused=True)
    rows = [
        row
        for path in sorted((work / "shards" / "train").iterdir())
        for row in pa.ipc.open_stream(path).read_all().to_pylist()
    ]
    trained, start = 0, time.perf_counter()
    for row in rows:
        lengths = torch.tensor(row["seq_lengths"])
        bounds = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
        labels = torch.tensor(row["labels"])
        at = (labels[1:] != -100).nonzero().flatten()
        logits = llama(
            input_ids=torch.tensor(row["input_ids"])[None],
            position_ids=torch.cat([torch.arange(int(one)) for one in lengths])[None],
            use_cache=False,
            logits_to_keep=at,
            **dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), bounds),
            **dict.fromkeys(("max_length_q", "max_length_k"), int(lengths.max())),
        ).logits[0]
        torch.nn.functional.cross_entropy(logits, labels[at + 1]).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        updates.step()
        updates.zero_grad()
        trained += len(at)
    return trained, time.perf_counter() - start


WAYS: dict[str, Callable[[Path, Path], tuple[int, float]]] = {
    "sfttrain": of_sfttrain,
    "TRL SFTTrainer, its default": lambda model, work: of_trl(model, work, packing=False),
    "TRL SFTTrainer, packed": lambda model, work: of_trl(model, work, packing=True),
    "a bare loop over the same sequences": of_bare_loop,
}


if __name__ == "__main__":
    main()
