"""Answer the held-out messages before and after training, and show the difference.

    python examples/demo/evaluate.py

Counts the answers that are one JSON object with exactly the five keys. The figures are measured on this machine, with
greedy generation, on 40 messages that are not in the training data.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
KEYS = ("intent", "product", "urgency", "sentiment", "needs_human")
MAX_NEW_TOKENS = 80  # the longest reference answer has 41
BATCH = 20
SHOWN = 3


def read_answer(text: str) -> dict[str, Any] | None:
    """The answer as an object, or None if it is not JSON or does not have exactly the five keys."""
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and sorted(answer) == sorted(KEYS) else None


def read_heldout() -> tuple[list[str], list[dict[str, Any]]]:
    """The held-out messages, and the reference answers."""
    lines = (HERE / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    turns = [json.loads(line)["messages"] for line in lines]
    return [user["content"] for user, _ in turns], [json.loads(answer["content"]) for _, answer in turns]


def load(model_folder: Path, adapter_folder: Path | None) -> tuple[Any, Any]:
    """The model, with or without the trained adapter, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    warnings.simplefilter("ignore", FutureWarning)  # from within the libraries; nothing to change here
    tokenizer = AutoTokenizer.from_pretrained(adapter_folder or model_folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    if adapter_folder is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter_folder).merge_and_unload()
    return model.eval(), tokenizer


def generate(model: Any, tokenizer: Any, system: str, messages: Sequence[str]) -> list[str]:
    """The most likely answer to each message, given the system prompt of the training data."""
    import torch

    answers: list[str] = []
    for start in range(0, len(messages), BATCH):
        chats = [
            [{"role": "system", "content": system}, {"role": "user", "content": message}]
            for message in messages[start : start + BATCH]
        ]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
        )
        with torch.inference_mode():
            ids = model.generate(**inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        answers += tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


def score(answers: Sequence[str], references: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many answers have the right form, and how many of those agree with the reference in each value."""
    parsed = [(answer, reference) for text, reference in zip(answers, references) if (answer := read_answer(text))]
    agree = {key: sum(answer[key] == reference[key] for answer, reference in parsed) for key in KEYS}
    return {"form": len(parsed), **agree}


def show(messages: Sequence[str], answers: Sequence[Sequence[str]], scores: Sequence[dict[str, int]]) -> None:
    """Print three messages side by side, then the figures."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(title=f"{SHOWN} of {len(messages)} held-out messages", show_lines=True)
    for name in ("customer's message", "before training", "after training"):
        table.add_column(name, ratio=1)
    for row in zip(messages[:SHOWN], *answers):
        table.add_row(*(Text(cell if len(cell) <= 260 else cell[:260] + " ...") for cell in row))
    console.print(table)
    figures = Table(title=f"answers to {len(messages)} held-out messages")
    figures.add_column("")
    figures.add_column("before", justify="right")
    figures.add_column("after", justify="right")
    for key in ("form", *KEYS):
        name = "JSON with the right keys" if key == "form" else f"  and {key} as in the reference"
        figures.add_row(name, *(f"{score[key]} = {score[key] / len(messages):.0%}" for score in scores))
    console.print(figures)


def main() -> None:
    """Evaluate before and after training, and print the results."""
    prepare = yaml.safe_load((HERE / "prepare.yaml").read_text(encoding="utf-8"))
    train = yaml.safe_load((HERE / "train.yaml").read_text(encoding="utf-8"))
    system = prepare["sources"][0]["system"]
    messages, references = read_heldout()
    answers = []
    for when, adapter in (("before", None), ("after", HERE / train["out"])):
        started = time.monotonic()
        model, tokenizer = load(HERE / train["model"], adapter)
        answers.append(generate(model, tokenizer, system, messages))
        print(f"answered {len(messages)} messages {when} training in {time.monotonic() - started:.0f} s", flush=True)
    show(messages, answers, [score(texts, references) for texts in answers])


if __name__ == "__main__":
    main()
