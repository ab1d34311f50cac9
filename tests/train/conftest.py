"""A tiny random Llama and packed shards to train it on, shared by all tests of sfttrain."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from entries import file_entry
from ready_process import QUIET, TRAINING, python_that_is_ready
from samples import SAMPLE_SCHEMA, build_shard

import sfttrain
from sftdata.store.manifest import (
    Counts,
    Manifest,
    PackingEntry,
    ShardEntry,
    TokenizerEntry,
    hash_of_shards,
)
from sftdata.store.shards import write_shard

Sample = tuple[list[int], list[int]]  # input_ids, labels
SEQ_LEN = 64
END = 2  # the id of the end-of-turn token


def random_samples(count: int, seed: int = 0, longest: int = 30) -> list[Sample]:
    """Samples of 6 to `longest` tokens, trained from a random position to the end."""
    draw = random.Random(seed)
    samples = []
    for _ in range(count):
        ids = [draw.randrange(3, 300) for _ in range(draw.randint(5, longest - 1))] + [END]
        prompt = draw.randint(1, len(ids) - 2)
        samples.append((ids, [-100] * prompt + ids[prompt:]))
    return samples


def write_dataset(
    folder: Path, tokenizer: Path, samples: Sequence[Sequence[Sample]], *, strategy: Any = "best_fit", held_out: int = 0
) -> Path:
    """A dataset as `sftdata prepare` would write it: one shard per group of samples, the last ones for validation."""
    shutil.copytree(tokenizer, folder / "tokenizer")
    entries = []
    for number, group in enumerate(samples):
        split = "validation" if number >= len(samples) - held_out else "train"
        table = pa.Table.from_pylist(
            [
                {"record_id": f"{number:02}-{index:04}", "sample": 0, "input_ids": ids, "labels": labels}
                for index, (ids, labels) in enumerate(group)
            ],
            schema=SAMPLE_SCHEMA,
        )
        path = f"{split}/{number:05}-of-{len(samples):05}.arrow"
        stats = write_shard(folder / path, build_shard(table, SEQ_LEN, strategy, 0))
        entries.append(ShardEntry.of(path, split, stats))
    files = tuple(file_entry(folder, f"tokenizer/{path.name}") for path in sorted((folder / "tokenizer").iterdir()))
    tokenizer_json = json.loads((tokenizer / "tokenizer.json").read_text())
    manifest = Manifest(
        dataset_hash=hash_of_shards(entries),
        seed=0,
        seq_len=SEQ_LEN,
        shards=tuple(entries),
        ledger=(),
        files=files,
        tokenizer=TokenizerEntry(
            source="tiny",
            sha256=next(file.sha256 for file in files if file.path == "tokenizer/tokenizer.json"),
            vocab_size=max(tokenizer_json["model"]["vocab"].values()) + 1,
            eos_id=END,
            end_of_turn_ids=(END,),
        ),
        template=None,
        config={},
        versions={},
        counts=Counts(),
        packing=PackingEntry.of(strategy, SEQ_LEN, entries),
    )
    manifest.save(folder)
    return folder


@pytest.fixture(scope="session")
def samples_of() -> Callable[..., list[Sample]]:
    """`random_samples`."""
    return random_samples


@pytest.fixture(scope="session")
def make_shards(tiny_tokenizer: Path) -> Callable[..., Path]:
    """`write_dataset` with the tiny tokenizer: (folder, groups of samples) -> folder."""
    return lambda folder, groups, **kinds: write_dataset(folder, tiny_tokenizer, groups, **kinds)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny matrices are faster on one thread, and give the same sums on every machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def python() -> Iterator[list[str]]:
    """A command that does what `python` does, in a process that has loaded what a run imports; see ready_process.py."""
    with python_that_is_ready(TRAINING, {**os.environ, **QUIET, "OMP_NUM_THREADS": "1"}) as command:
        yield command


@pytest.fixture(scope="session")
def torchrun(python: list[str]) -> list[str]:
    """The command that runs what follows, as for `python`, in two processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    return [*python, *launch, *python]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Path:
    """A Llama of two layers with random weights, large enough that samples which see each other change the loss."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=640,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=0,
    )
    folder = tmp_path_factory.mktemp("tiny_model")
    LlamaForCausalLM(config).save_pretrained(folder)
    shutil.copy(tiny_tokenizer / "tokenizer.json", folder)
    return folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, make_shards: Callable[..., Path]) -> Path:
    """Two shards to train on and one for validation, packed to rows of 64 tokens."""
    groups = [random_samples(40, seed=1), random_samples(24, seed=2), random_samples(12, seed=3)]
    return make_shards(tmp_path_factory.mktemp("shards") / "data", groups, held_out=1)


@pytest.fixture
def settings(shards: Path, tiny_model: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Settings of a short run into this test's folder, with the changes given."""

    def make(**changes: Any) -> dict[str, Any]:
        base = {
            "shards": str(shards),
            "model": str(tiny_model),
            "out": str(tmp_path / "out"),
            "batch_tokens": 4 * SEQ_LEN,
            "max_steps": 2,
            "learning_rate": 1e-2,
            "dtype": "float32",
        }
        return {**base, **changes}

    return make


@pytest.fixture
def leave_cache_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, the tiny model uses a cache, whatever it is given."""

    def leave() -> None:
        from transformers import LlamaForCausalLM

        forward = LlamaForCausalLM.forward

        def cached(self: Any, *args: Any, use_cache: Any = None, logits_to_keep: Any = 0, **kwargs: Any) -> Any:
            return forward(self, *args, use_cache=True, logits_to_keep=logits_to_keep, **kwargs)

        monkeypatch.setattr(LlamaForCausalLM, "forward", cached)

    return leave


@pytest.fixture
def weightless(tiny_model: Path, tmp_path: Path) -> Path:
    """The model's config and tokenizer without weights: what is refused here is refused before weights are loaded."""
    folder = tmp_path / "weightless"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(tiny_model / name, folder)
    return folder


@pytest.fixture(scope="session")
def finished(shards: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> sfttrain.Result:
    """One epoch of full training."""
    config = {
        "shards": str(shards),
        "model": str(tiny_model),
        "out": str(tmp_path_factory.mktemp("finished") / "out"),
        "batch_tokens": 256,
        "learning_rate": 1e-2,
        "dtype": "float32",
        "eval_every": 2,
    }
    return sfttrain.run(config)


@pytest.fixture(scope="session")
def adapter(shards: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> sfttrain.Result:
    """Two steps of an adapter."""
    config = {
        "shards": str(shards),
        "model": str(tiny_model),
        "out": str(tmp_path_factory.mktemp("adapter") / "out"),
        "batch_tokens": 256,
        "max_steps": 2,
        "learning_rate": 1e-2,
        "dtype": "float32",
        "lora": {"r": 4},
    }
    return sfttrain.run(config)


@pytest.fixture(scope="session")
def loss_by_hand() -> Callable[[Path, list[Path]], float]:
    """The mean loss over the trained tokens of shards, sample by sample, in plain torch.

    Written without sfttrain, TRL or a collator, as the reference for them.
    """
    import torch
    from transformers import LlamaForCausalLM

    def mean_loss(model: Path, shards: list[Path]) -> float:
        llama = LlamaForCausalLM.from_pretrained(model, dtype=torch.float64, attn_implementation="eager").eval()
        total, trained = 0.0, 0
        for shard in shards:
            with pa.ipc.open_stream(shard.read_bytes()) as stream:
                rows = stream.read_all().to_pylist()
            for row in rows:
                start = 0
                for length in row["seq_lengths"]:
                    ids, labels = (row[name][start : start + length] for name in ("input_ids", "labels"))
                    start += length
                    with torch.no_grad():
                        scores = llama(torch.tensor([ids])).logits[0].log_softmax(-1)
                    for position in range(1, length):
                        if labels[position] != -100:
                            total -= float(scores[position - 1, labels[position]])
                            trained += 1
        return total / trained

    return mean_loss
