"""Losses and weights are those of a plain loop over the samples one by one, however they are spread."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from run_metrics import losses

import sfttrain

ROWS_PER_STEP, EPOCHS, RATE = 4, 2, 3e-3
EPSILON = 1e-5  # of AdamW: with 1e-8, gradients as small as the rounding errors of float32 decide the sign of a step
# Nine sequences: steps of 4, 4 and 1, so that the last accumulation of an epoch is partial, and one of two processes
# has no sequence there. The second epoch is in the order that seed 0 draws for nine sequences.
SECOND_EPOCH = [7, 0, 1, 6, 3, 4, 5, 2, 8]


@pytest.fixture(scope="module")
def nine(make_shards: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine sequences, with few trained tokens in some of their samples and many in others."""
    import random

    draw = random.Random(4)
    samples = []
    for number in range(28):
        ids = [draw.randrange(3, 300) for _ in range(draw.randint(8, 27))] + [2]
        trained = 1 if number % 3 else len(ids) - 2
        samples.append((ids, [-100] * (len(ids) - trained) + ids[len(ids) - trained :]))
    folder = make_shards(tmp_path_factory.mktemp("nine") / "data", [samples])
    assert json.loads((folder / "manifest.json").read_text())["shards"][0]["rows"] == 9
    return folder


def plain_loop(shards: Path, model: Path, optimizer: str, max_norm: float) -> tuple[list[float], dict[str, Any]]:
    """The loss of each step and the weights at the end: plain torch, one sample at a time, no packing, no padding."""
    import torch
    from transformers import LlamaForCausalLM

    with pa.ipc.open_stream(next((shards / "train").iterdir()).read_bytes()) as stream:
        rows = stream.read_all().to_pylist()
    llama = LlamaForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager").train()
    if optimizer == "sgd":
        updates: torch.optim.Optimizer = torch.optim.SGD(llama.parameters(), lr=RATE)
    else:
        updates = torch.optim.AdamW(llama.parameters(), lr=RATE, eps=EPSILON, weight_decay=0)
    losses = []
    for order in ([*range(9)], SECOND_EPOCH)[:EPOCHS]:
        for first in range(0, len(order), ROWS_PER_STEP):
            samples = []
            for row in (rows[number] for number in order[first : first + ROWS_PER_STEP]):
                for start, end in pairwise(accumulate(row["seq_lengths"], initial=0)):
                    samples.append((row["input_ids"][start:end], row["labels"][start:end]))
            trained = sum(label != -100 for _, labels in samples for label in labels[1:])
            total = 0.0
            for ids, labels in samples:
                logits = llama(torch.tensor([ids])).logits[0, :-1]
                loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[1:]), reduction="sum") / trained
                loss.backward()
                total += float(loss.detach())
            if max_norm:
                torch.nn.utils.clip_grad_norm_(llama.parameters(), max_norm)
            updates.step()
            updates.zero_grad()
            losses.append(total)
    return losses, llama.state_dict()


def assert_same(out: Path, expected: tuple[list[float], dict[str, Any]]) -> None:
    from safetensors.torch import load_file

    assert [loss for _, loss in losses(out)] == pytest.approx(expected[0], rel=1e-5)
    weights = load_file(out / "model.safetensors")
    worst = {name: float((weights[name] - expected[1][name]).abs().max()) for name in weights}
    assert max(worst.values()) < 1e-5, worst
    assert len(weights) == len(expected[1]) or "lm_head.weight" not in weights


@pytest.fixture
def nine_settings(nine: Path, settings: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def make(optimizer: str, max_norm: float, **changes: Any) -> dict[str, Any]:
        trainer = {"optim": optimizer, "max_grad_norm": max_norm, "per_device_train_batch_size": 1}
        trainer |= {"adam_epsilon": EPSILON} if optimizer != "sgd" else {}
        config = settings(shards=str(nine), learning_rate=RATE, schedule="constant", warmup=0, trainer=trainer)
        del config["max_steps"]
        return {**config, "epochs": EPOCHS, **changes}

    return make


@pytest.mark.parametrize(("optimizer", "max_norm"), [("sgd", 0.0), ("adamw_torch", 1.0)])
def test_one_process_that_accumulates_four(
    nine: Path, tiny_model: Path, nine_settings: Callable[..., dict[str, Any]], optimizer: str, max_norm: float
):
    result = sfttrain.run(nine_settings(optimizer, max_norm))
    assert result.summary["steps"] == 6
    assert_same(result.out, plain_loop(nine, tiny_model, optimizer, max_norm))


def test_four_sequences_in_one_forward_pass(nine: Path, tiny_model: Path, nine_settings: Callable[..., dict[str, Any]]):
    config = nine_settings("sgd", 0.0)
    config["trainer"]["per_device_train_batch_size"] = 4
    assert_same(sfttrain.run(config).out, plain_loop(nine, tiny_model, "sgd", 0.0))


@pytest.mark.parametrize("per_device", [1, 2])
def test_two_processes(
    nine: Path,
    tiny_model: Path,
    nine_settings: Callable[..., dict[str, Any]],
    tmp_path: Path,
    torchrun: list[str],
    per_device: int,
):
    """Two accumulated, or two in one forward pass; gradients are clipped by the norm over all."""
    config = nine_settings("adamw_torch", 1.0)
    config["trainer"]["per_device_train_batch_size"] = per_device
    (tmp_path / "train.yaml").write_text(json.dumps(config))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*torchrun, "-m", "sfttrain", "run", str(tmp_path / "train.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "out", plain_loop(nine, tiny_model, "adamw_torch", 1.0))
    summary = json.loads((tmp_path / "out" / "run.json").read_text())
    manifest = json.loads((nine / "manifest.json").read_text())["shards"][0]
    assert summary["tokens"] == EPOCHS * manifest["tokens"]
    assert summary["trained_tokens"] == EPOCHS * manifest["trained_tokens"]
