"""A loss or gradient that is NaN or infinite ends the run before the weights are changed, and names the rows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_metrics import losses

import sfttrain
from sftdata import prepare
from sftdata.errors import ModelError

BAD = "ÿ"  # a byte that only the bad rows have


@pytest.fixture(scope="module")
def poisoned(tiny_tokenizer: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of 24 chats in as many sequences, and a model for which the chats in lines 6 and 17 give NaN."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("poisoned")
    chats = folder / "chats.jsonl"
    with chats.open("w", encoding="utf-8") as file:
        for line in range(1, 25):
            question = f"question {line}" + (BAD if line in (6, 17) else "")
            messages = [("user", question), ("assistant", f"answer {line}")]
            row = {"messages": [{"role": role, "content": text} for role, text in messages]}
            file.write(json.dumps(row) + "\n")
    settings = {
        "sources": [str(chats)],
        "tokenizer": str(tiny_tokenizer),
        "out": str(folder / "data"),
        "pack": {"seq_len": 64, "strategy": "none"},
    }
    prepare(settings)
    model = Path(shutil.copytree(tiny_model, folder / "model"))
    llama = LlamaForCausalLM.from_pretrained(model)
    ids = AutoTokenizer.from_pretrained(tiny_tokenizer).encode(BAD, add_special_tokens=False)
    with torch.no_grad():
        llama.get_input_embeddings().weight[ids[-1]] = float("nan")
    llama.save_pretrained(model)
    return folder / "data", model


@pytest.fixture
def poisoned_settings(
    poisoned: tuple[Path, Path], settings: Callable[..., dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    data, model = map(str, poisoned)
    return lambda **changes: settings(shards=data, model=model, **{"save_every": 1, "max_steps": 20, **changes})


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_loss_of_nan_ends_the_run_with_the_rows_of_its_forward_pass(
    poisoned_settings: Callable[..., dict[str, Any]], tmp_path: Path
):
    """Each sequence has one chat here, and a forward pass one sequence. Line 17 comes first in the shard."""
    config = poisoned_settings(trainer={"per_device_train_batch_size": 1, "logging_steps": 3})
    with pytest.raises(ModelError) as raised:
        sfttrain.run(config)
    assert str(raised.value) == (
        f"step 2: the loss is nan in 2 of its 10 forward passes, with chats.jsonl:17, chats.jsonl:6; look at them "
        f"(`sftdata why {config['shards']} chats.jsonl:17`), lower learning_rate, or set dtype=float32, and continue "
        "from checkpoint-1 with resume=true --allow-changes"
    )
    out = tmp_path / "out"
    summary = json.loads((out / "run.json").read_text())
    assert (summary["status"], summary["rows"]) == ("failed", ["chats.jsonl:17", "chats.jsonl:6"])
    assert not (out / "checkpoint-2").exists()
    assert not (out / "model.safetensors").exists()
    record = json.loads((out / "checkpoint-1" / "sfttrain.json").read_text())
    found = hashes(out / "checkpoint-1")
    assert {name: found[name] for name in record["files"]} == record["files"]


def test_a_gradient_that_is_not_finite_names_all_rows_of_the_step(
    settings: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The loss is right, but the derivative of its second term, the root of zero, is infinite. No ledger is there."""
    import torch

    from sfttrain.trainer.packed import PackedTrainer

    loss = PackedTrainer.compute_loss

    def with_root(self: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        weight = next(iter(model.parameters()))
        return loss(self, model, *args, **kwargs) + torch.sqrt((weight * 0).sum())

    monkeypatch.setattr(PackedTrainer, "compute_loss", with_root)
    with pytest.raises(ModelError, match=r"step 1: the norm of the gradient is nan, with train/00000-of-00003\.arrow"):
        sfttrain.run(settings(trainer={"max_grad_norm": 0.0}))
    rows = json.loads((tmp_path / "out" / "run.json").read_text())["rows"]
    assert rows == [f"train/00000-of-00003.arrow, sequence {number}" for number in range(4)]
    assert losses(tmp_path / "out") == []


def test_two_processes_end_together_with_exit_code_1(
    poisoned_settings: Callable[..., dict[str, Any]], tmp_path: Path, torchrun: list[str]
):
    trainer = {"per_device_train_batch_size": 1}
    (tmp_path / "train.yaml").write_text(json.dumps(poisoned_settings(trainer=trainer, save_every=0)))
    command = [*torchrun, "-m", "sfttrain", "run", str(tmp_path / "train.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 1
    assert (
        "the loss is nan in 2 of its 10 forward passes, with chats.jsonl:17, chats.jsonl:6; look at them" in done.stderr
    )
    assert json.loads((tmp_path / "out" / "run.json").read_text())["rows"] == ["chats.jsonl:17", "chats.jsonl:6"]
