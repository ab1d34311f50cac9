"""The other side of the comparison in docs/results.md: TRL's SFTTrainer as its documentation shows it, on a raw file.

    python docs/results/trl_run.py MODEL ROWS.jsonl OUT SEED STEPS SAVE_EVERY RATE

Each row of the file has a question and an answer, which become TRL's `prompt` and `completion`; TRL applies the chat
template, leaves the prompt out of the loss, and pads. Everything that is not given here is TRL's default. A checkpoint
is saved every SAVE_EVERY steps; OUT/trained.json has the number of trained tokens at each step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer


class CountingTrainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, which counts the tokens with a label."""

    trained: list[int]

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        self.trained.append(int((inputs["labels"] != -100).sum()))
        return super().training_step(model, inputs, num_items_in_batch)


def as_chat(row: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    """A row as TRL asks for it."""
    return {
        "prompt": [{"role": "user", "content": row["question"]}],
        "completion": [{"role": "assistant", "content": row["answer"]}],
    }


def main(model: str, rows: str, out: str, seed: str, steps: str, save_every: str, rate: str) -> None:
    """Train, and write the counts."""
    data = load_dataset("json", data_files=rows, split="train", cache_dir=f"{out}/cache")
    trainer = CountingTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, trust_remote_code=False),
        args=SFTConfig(
            output_dir=out,
            max_steps=int(steps),
            learning_rate=float(rate),
            lr_scheduler_type="cosine",
            warmup_steps=int(0.03 * int(steps)),
            seed=int(seed),
            save_steps=int(save_every),
            logging_steps=1,
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=data.map(as_chat, remove_columns=data.column_names),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.trained = []
    trainer.train()
    Path(out, "trained.json").write_text(json.dumps(trainer.trained), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
