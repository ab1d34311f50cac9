"""How well a model predicts trained tokens, one by one. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sfttrain.evaluate.figures import Sums
from sfttrain.evaluate.places import IGNORE, Ids, Places, samples_of

BATCH_TOKENS = 4096  # of samples that are scored together, with what pads them
CHUNK = 1024  # positions whose logits are in memory as float32 together


class Scores(NamedTuple):
    """Of each trained token, in order: its negative log-likelihood in nats, and whether it is the most likely token."""

    loss: npt.NDArray[np.float64]
    correct: npt.NDArray[np.bool_]


def scores_of(logits: torch.Tensor, targets: torch.Tensor) -> Scores:
    """The scores of targets under logits: a row for each target."""
    losses, hits = [], []
    for start in range(0, len(targets), CHUNK):
        part, wanted = logits[start : start + CHUNK].float(), targets[start : start + CHUNK]
        losses.append(torch.nn.functional.cross_entropy(part, wanted, reduction="none").cpu())
        hits.append((part.argmax(-1) == wanted).cpu())
    if not losses:
        return Scores(np.empty(0), np.empty(0, np.bool_))
    return Scores(torch.cat(losses).double().numpy(), torch.cat(hits).numpy())


def keeps_some_logits(model: Any) -> bool:
    """Whether a model computes logits for chosen positions alone."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in signature(type(base).forward).parameters


def score_sequence(model: Any, inputs: dict[str, Any], *, keeps_some: bool) -> Scores:
    """The scores of the trained tokens of a batch that a collator joined into one row. Labels are not shifted."""
    labels = inputs.pop("labels")[0]
    positions = (labels[1:] != IGNORE).nonzero().flatten()  # the logits at position i predict the token at i + 1
    kept = {"logits_to_keep": positions} if keeps_some else {}
    logits = model(**inputs, use_cache=False, **kept).logits[0]
    return scores_of(logits if keeps_some else logits[positions], labels[positions + 1])


def score_samples(model: Any, samples: Sequence[tuple[Ids, Ids]]) -> list[Scores]:
    """The scores of samples, each alone: (input_ids, labels) of each. The model decides the device.

    Samples of about one length run together, padded on the right, where no token that counts can see it. So no kind of
    model or attention can mix them up.
    """
    found: dict[int, Scores] = {}
    keeps_some, device = keeps_some_logits(model), next(model.parameters()).device
    with torch.inference_mode():
        for numbers in _batches([len(ids) for ids, _ in samples]):
            longest = max(len(samples[number][0]) for number in numbers)
            ids = torch.zeros(len(numbers), longest, dtype=torch.long)
            labels = torch.full((len(numbers), longest), IGNORE)
            mask = torch.zeros(len(numbers), longest, dtype=torch.long)
            for at, number in enumerate(numbers):
                length = len(samples[number][0])
                ids[at, :length] = torch.as_tensor(samples[number][0])
                labels[at, :length] = torch.as_tensor(samples[number][1])
                mask[at, :length] = 1
            is_trained = labels[:, 1:] != IGNORE
            positions = is_trained.any(0).nonzero().flatten()  # where any of them has a trained token
            kept = {"logits_to_keep": positions.to(device)} if keeps_some else {}
            logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False, **kept).logits
            logits = logits if keeps_some else logits[:, positions]
            for at, number in enumerate(numbers):
                here = is_trained[at, positions]
                targets = labels[at, positions[here] + 1]
                found[number] = scores_of(logits[at][here.to(device)], targets.to(device))
    return [found[number] for number in range(len(samples))]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of samples to run together: of about one length, of BATCH_TOKENS with their padding."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def evaluate(model: Any, rows: Any, places: Places, *, on_sequence: Any = None) -> dict[str, Any]:
    """The figures of a model on sequences (columns input_ids, labels, seq_lengths), sample by sample.

    `places` are those of the sequences. `on_sequence` is called with the number of sequences done.
    """
    was_training = model.training
    model.eval()
    sums = Sums.none(places.size)
    try:
        for number, row in enumerate(rows.with_format("numpy")):
            scores = score_samples(model, samples_of(row))
            loss = np.concatenate([one.loss for one in scores])
            correct = np.concatenate([one.correct for one in scores])
            sums += Sums.of(places.cells_of([number]), loss, correct, places.size)
            if on_sequence is not None:
                on_sequence(number + 1)
    finally:
        model.train(was_training)
    return places.figures(sums)
