"""The proof before step 0: a packed row gives the loss of its samples run one by one. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, TextIO

import torch
from transformers import TrainerCallback

from sftdata.errors import ModelError
from sfttrain.trainer import PackedTrainer

ROWS_LOOKED_AT = 256  # rows among which the one with the most samples is taken
PROBE_TOKENS = 512  # of that row, as many whole samples as fit, but at least two
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}  # of the loss; float32 differs by about 1e-6, bfloat16 by 1e-3


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared: mean losses over the trained tokens, by the trainer's own path and sample by sample."""

    samples: int
    tokens: int
    packed: float
    one_by_one: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the two agree. A loss that is no number agrees with nothing."""
        return abs(self.packed - self.one_by_one) <= self.tolerance * max(1.0, abs(self.one_by_one))


class ProofCallback(TrainerCallback):  # type: ignore[misc]
    """Compares on the model as it was made ready for training, and raises ModelError where the losses differ."""

    def __init__(self, trainer: PackedTrainer, dtype: str, screen: TextIO) -> None:
        self._trainer = trainer
        self._dtype = dtype
        self._screen = screen
        self.proof: Proof | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Run the proof."""
        rows = probe_rows(self._trainer.train_dataset, args.per_device_train_batch_size)
        proof = self.proof = prove(self._trainer, rows, TOLERANCE[self._dtype])
        if state.is_world_process_zero:
            losses = f"loss {proof.packed:.6f} packed, {proof.one_by_one:.6f} one by one"
            print(f"check  {proof.samples} samples: {losses}", file=self._screen, flush=True)

    def facts(self) -> dict[str, Any] | None:
        """For run.json."""
        return None if self.proof is None else asdict(self.proof)


def probe_rows(dataset: Any, rows_per_device: int) -> list[dict[str, list[int]]]:
    """Rows to prove with: the leading samples of the row with the most, or, where no row holds two, one batch of rows.

    Small, so that a slow processor is done in seconds, and made of whole samples, so that it is what training sees.
    """
    lengths = dataset[: min(ROWS_LOOKED_AT, len(dataset))]["seq_lengths"]
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
    """Compare the loss of rows by the trainer's collator and loss with that of their samples, each run alone.

    The samples go through the model's own forward with nothing but their ids, and the loss is a plain cross entropy:
    neither the collator nor TRL's loss has a part in that. Raises ModelError where the two differ.
    """
    model = trainer.model_wrapped
    was_training = model.training
    model.eval()  # dropout would make any two runs differ
    try:
        batch = trainer.data_collator(list(rows))
        packed, _, _ = trainer.prediction_step(model, batch, prediction_loss_only=True)
        trainer._metrics["eval"].clear()  # what TRL noted is no validation
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
            f"{samples} samples have the loss {losses}: attention {attention} does not keep them apart in this model",
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
    """The sum of a sample's losses when it is run alone, and the number of tokens it is the sum of."""
    targets = torch.tensor(labels[1:])  # what stands at i is told from what stands before it
    where = (targets != -100).nonzero().flatten()
    if not len(where):
        return 0.0, 0
    inputs = torch.tensor([ids], device=trainer.args.device)
    with torch.no_grad(), trainer.compute_loss_context_manager():
        logits = model(input_ids=inputs, use_cache=False).logits[0]
    chosen = logits[where.to(logits.device)].float()
    loss = torch.nn.functional.cross_entropy(chosen, targets[where].to(logits.device), reduction="sum")
    return float(loss), len(where)
