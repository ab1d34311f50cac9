"""The check before step 0: a packed row must give the loss of its samples run one by one. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from transformers import TrainerCallback

from sftdata.errors import ModelError, pluralize
from sfttrain.say import say
from sfttrain.trainer.packed import PackedTrainer

SEARCHED_ROWS = 256  # the row with the most samples is searched for among this many
PROBE_TOKENS = 512  # the probe takes as many whole samples of that row as fit, and at least two
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}  # of the loss; float32 differs by about 1e-6, bfloat16 by 1e-3


@dataclass(frozen=True, slots=True)
class Proof:
    """The two losses that were compared, each the mean over the trained tokens."""

    samples: int
    tokens: int
    packed: float  # by the trainer's own collator and loss
    one_by_one: float  # sample by sample
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the two agree; never where one of them is NaN."""
        return abs(self.packed - self.one_by_one) <= self.tolerance * max(1.0, abs(self.one_by_one))


class ProofCallback(TrainerCallback):  # type: ignore[misc]
    """Compares the losses of the model as prepared for training. Raises ModelError where they differ."""

    def __init__(self, trainer: PackedTrainer) -> None:
        self._trainer = trainer
        self.proof: Proof | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Compare, and print the two losses."""
        rows = probe_rows(self._trainer.train_dataset, args.per_device_train_batch_size)
        proof = self.proof = prove(self._trainer, rows, TOLERANCE[self._trainer.dtype])
        if state.is_world_process_zero:
            losses = f"loss {proof.packed:.6f} packed, {proof.one_by_one:.6f} one by one"
            say(f"check  {pluralize(proof.samples, 'sample')}: {losses}")


def prove_loss_before_step_0(trainer: PackedTrainer) -> ProofCallback:
    """Have `trainer.train()` compare the losses once it has prepared the model (wrapped, resumed), before step 0."""
    callback = ProofCallback(trainer)
    trainer.add_callback(callback)
    return callback


def probe_rows(dataset: Any, rows_per_device: int) -> list[dict[str, list[int]]]:
    """The rows to compare: the first samples of the row with the most, or one batch where no row holds two samples.

    Few tokens, so that a slow CPU needs only seconds, and whole samples, as in training.
    """
    lengths = dataset[: min(SEARCHED_ROWS, len(dataset))]["seq_lengths"]
    most = max(range(len(lengths)), key=lambda row: len(lengths[row]))
    if len(lengths[most]) == 1:
        return [dataset[row] for row in range(min(rows_per_device, len(dataset)))]
    row = dataset[most]
    count, tokens = 2, sum(row["seq_lengths"][:2])
    while count < len(row["seq_lengths"]) and tokens + row["seq_lengths"][count] <= PROBE_TOKENS:
        tokens += row["seq_lengths"][count]
        count += 1
    return [
        {
            "input_ids": row["input_ids"][:tokens],
            "labels": row["labels"][:tokens],
            "seq_lengths": row["seq_lengths"][:count],
        }
    ]


def prove(trainer: PackedTrainer, rows: Sequence[dict[str, list[int]]], tolerance: float) -> Proof:
    """Compare the loss of rows, by the trainer's collator and loss, with that of their samples, each run alone.

    The samples go through the model's own forward with nothing but their ids, and their loss is a plain cross entropy:
    it uses neither the collator nor TRL's loss. Raises ModelError where the two differ.
    """
    model = trainer.model_wrapped
    was_training = model.training
    model.eval()  # dropout would make any two runs differ
    try:
        batch = trainer.data_collator(list(rows))
        packed, _, _ = trainer.prediction_step(model, batch, prediction_loss_only=True)
        trainer._metrics["eval"].clear()  # TRL recorded this batch as validation
        loss_sum, trained = 0.0, 0
        for ids, labels in samples_of(rows):
            sample_sum, sample_trained = _sample_loss(trainer, model, ids, labels)
            loss_sum += sample_sum
            trained += sample_trained
    finally:
        model.train(was_training)
    samples, tokens = sum(len(row["seq_lengths"]) for row in rows), sum(len(row["input_ids"]) for row in rows)
    proof = Proof(samples, tokens, float(packed), loss_sum / max(trained, 1), tolerance)
    if not proof.holds:
        attention = getattr(trainer.model.config, "_attn_implementation", "?")
        losses = f"{proof.packed:.6f} packed together, but {proof.one_by_one:.6f} one by one"
        raise ModelError(
            "the check before training",
            f"{pluralize(samples, 'sample')} with loss {losses}: attention {attention} does not keep them apart in "
            "this model",
            "set attn_implementation to eager or sdpa; if that does not help, prepare the dataset with pack.strategy "
            "none and set trainer.per_device_train_batch_size=1",
        )
    return proof


def samples_of(rows: Sequence[dict[str, list[int]]]) -> list[tuple[list[int], list[int]]]:
    """The (input_ids, labels) of each sample in packed rows."""
    samples = []
    for row in rows:
        ends = [0]
        for length in row["seq_lengths"]:
            ends.append(ends[-1] + length)
        samples += [(row["input_ids"][start:end], row["labels"][start:end]) for start, end in pairwise(ends)]
    return samples


def _sample_loss(trainer: PackedTrainer, model: Any, ids: list[int], labels: list[int]) -> tuple[float, int]:
    """The summed loss of a sample run alone, and the number of its trained tokens."""
    targets = torch.tensor(labels[1:])  # the logits at position i predict the token at i + 1
    trained = (targets != -100).nonzero().flatten()
    if not len(trained):
        return 0.0, 0
    inputs = torch.tensor([ids], device=trainer.args.device)
    with torch.no_grad(), trainer.compute_loss_context_manager():
        logits = model(input_ids=inputs, use_cache=False).logits[0]
    chosen = logits[trained.to(logits.device)].float()
    loss = torch.nn.functional.cross_entropy(chosen, targets[trained].to(logits.device), reduction="sum")
    return float(loss), len(trained)
