"""The check before step 0: a packed row must give the logits and the loss of its samples run one by one.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

import torch
from transformers import TrainerCallback

from sftdata.errors import ModelError, pluralize
from sfttrain.say import say
from sfttrain.trainer.packed import PackedTrainer

SEARCHED_ROWS = 256  # the row with the most samples is searched for among this many
PROBE_TOKENS = 512  # the probe takes as many whole samples of that row as fit, and at least two
# Of the loss against a plain one of the same logits; float32 differs by about 1e-6, bfloat16 by 1e-3.
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2}
# Of the logits of a sample, or of its first positions, where what another one left has the greatest effect: the length
# of their difference over the length of the logits about their mean. In SmolLM2-135M-Instruct (30 layers) on GSM8K,
# samples apart differ by 1e-6 to 1e-5 in float32 and 0.03 to 0.06 in bfloat16, and samples that see each other by 0.7
# to 1, their first positions by 1.6 to 2.3. A single position is no measure: in bfloat16 the worst differs by 0.3
# without a fault.
LOGITS_TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-1}
FIRST = 8  # positions of a sample
# Of the logits of a sample when those before it have other tokens. In the same pass, rounding is the same: where
# samples are apart, nothing moves, and one layer of 30 that lets them see each other moves the logits by 0.2. Experts,
# which get other shares of the tokens then, and quantized weights round otherwise: there, LOGITS_TOLERANCE holds.
MOVED_TOLERANCE = {"float32": 1e-3, "bfloat16": 1e-1}
# What the loss alone passes to a model; without them, it gives the logits of all positions.
OF_THE_LOSS = ("labels", "logits_to_keep", "fused_lm_head", "num_items_in_batch", "shift_labels")
# Parts of the class names of layers that carry a state from token to token, whatever the positions are.
RECURRENT = ("mamba", "deltanet", "shortconv", "rwkv", "recurrent", "linearattention", "lightningattention")
UNPACKED = (
    "prepare the dataset with pack.strategy=none, and set trainer.per_device_train_batch_size=1: then each forward "
    "pass has one sample"
)

LOST_MASK = (
    "the logits agree and the loss does not, so the loss is not the mean over the trained tokens: a kernel or a "
    "setting changes it, or does not keep the mask",
    "set liger=false, and leave loss_type and label_smoothing_factor of trainer out",
)


@dataclass(frozen=True, slots=True)
class Proof:
    """The losses that were compared, each the mean over the trained tokens, and how far the logits are apart.

    The loss of the samples one by one follows from their logits, and is there to be shown.
    """

    samples: int
    tokens: int
    packed: float  # by the trainer's own collator and loss
    one_by_one: float  # sample by sample
    tolerance: float
    by_hand: float  # a plain loss of the logits that belong to `packed`
    logits: float = 0.0  # the largest difference of a sample, as a share; see LOGITS_TOLERANCE
    logits_tolerance: float = 0.0
    moved: float = 0.0  # the largest difference of a sample to itself, when other samples have other tokens
    moved_tolerance: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether both agree; never where one of them is NaN."""
        return abs(self.packed - self.by_hand) <= self.tolerance * max(1.0, abs(self.by_hand)) and not self.leaks

    @property
    def leaks(self) -> bool:
        """Whether the logits say that samples see each other, or are NaN."""
        return not (self.logits <= self.logits_tolerance and self.moved <= self.moved_tolerance)

    @property
    def in_words(self) -> str:
        """The figures, in one line."""
        return (
            f"{pluralize(self.samples, 'sample')}: loss {self.packed:.6f} packed, {self.one_by_one:.6f} one by one; "
            f"logits differ by {self.logits:.1e} (up to {self.logits_tolerance:.0e} allowed), and by {self.moved:.1e} "
            f"({self.moved_tolerance:.0e}) when other samples change"
        )


class ProofCallback(TrainerCallback):  # type: ignore[misc]
    """Compares the model as prepared for training, packed and one by one. Raises ModelError where they differ."""

    def __init__(self, trainer: PackedTrainer, *, quiet: bool = False) -> None:
        self._trainer, self._quiet = trainer, quiet
        self.proof: Proof | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Compare, and print the figures."""
        rows = probe_rows(self._trainer.train_dataset, args.per_device_train_batch_size)
        self.proof = prove(self._trainer, rows, TOLERANCE[self._trainer.dtype])
        if state.is_world_process_zero and not self._quiet:
            say(f"check  {self.proof.in_words}")


def prove_loss_before_step_0(trainer: PackedTrainer, *, quiet: bool = False) -> ProofCallback:
    """Have `trainer.train()` compare the losses once it has prepared the model (wrapped, resumed), before step 0."""
    callback = ProofCallback(trainer, quiet=quiet)
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
    """Compare rows, by the trainer's collator and loss, with their samples, each run alone.

    The logits are those of the model given exactly what the loss gives it, and the loss must be the plain cross entropy
    that follows from them. The samples go through the model's own forward with nothing but their ids: it uses neither
    the collator nor TRL's loss. Nor may the logits of a sample change with the tokens of another. Raises ModelError
    where one of this does not hold, naming the cause.
    """
    model = trainer.model_wrapped
    was_training, balances = model.training, trainer.aux_loss_enabled
    model.eval()  # dropout would make any two runs differ
    trainer.aux_loss_enabled = False  # how evenly experts are used is a matter of the whole batch
    try:
        batch = trainer.data_collator(list(rows))
        with _inputs_recorded(model) as recorded, _refusals(trainer):
            packed, _, _ = trainer.prediction_step(model, batch, prediction_loss_only=True)
        trainer._metrics["eval"].clear()  # TRL recorded this batch as validation
        given = {name: value for name, value in recorded[0].items() if name not in OF_THE_LOSS}
        together = _logits(trainer, model, given).flatten(0, 1)
        in_rows = given["input_ids"].numel() == sum(len(row["input_ids"]) for row in rows)
        loss_sum, by_hand, trained, start, apart = 0.0, 0.0, 0, 0, 0.0 if in_rows else float("nan")
        moved = _moved(trainer, given, together, [n for row in rows for n in row["seq_lengths"]]) if in_rows else 0.0
        for ids, labels in samples_of(rows):
            inputs = torch.tensor([ids], device=trainer.args.device)
            alone = _logits(trainer, model, {"input_ids": inputs, "use_cache": False})[0]
            loss_sum += _summed_loss(alone, labels)
            trained += sum(label != -100 for label in labels[1:])
            if in_rows:
                here = together[start : start + len(ids)]
                by_hand += _summed_loss(here, labels)
                apart = _larger(apart, sample_difference(here, alone))
            start += len(ids)
    finally:
        model.train(was_training)
        trainer.aux_loss_enabled = balances
    samples, tokens = sum(len(row["seq_lengths"]) for row in rows), sum(len(row["input_ids"]) for row in rows)
    limit = LOGITS_TOLERANCE[trainer.dtype]
    losses = (float(packed), loss_sum / max(trained, 1), tolerance, by_hand / max(trained, 1))
    moved_limit = limit if rounds_together(trainer.model) else MOVED_TOLERANCE[trainer.dtype]
    proof = Proof(samples, tokens, *losses, apart, limit, moved, moved_limit)
    if not proof.holds:
        cause, todo = cause_of_leak(trainer, given) if proof.leaks else LOST_MASK
        raise ModelError("the check before training", f"{proof.in_words}: {cause}", todo)
    return proof


def cause_of_leak(trainer: PackedTrainer, given: Mapping[str, Any]) -> tuple[str, str]:
    """Why samples see each other, judged by what the loss gave to the model, and what to do about it."""
    model = trainer.model
    layers = recurrent_layers(model)
    if given.get("position_ids") is None:
        return (
            "the batch has no position_ids, so nothing says where a sample begins; TRL's collator does not run "
            "padding-free, and the samples of a row are not kept apart",
            "leave packing, padding_free and dataset_kwargs of SFTConfig as sfttrain sets them",
        )
    if given.get("attention_mask") is not None:
        return (
            "the batch has an attention_mask, with which transformers ignores where samples begin, so the model does "
            "not keep them apart",
            "leave the data collator as it is",
        )
    if layers:
        return (
            f"{', '.join(layers)} of this model carry a state from one sample into the next, so the model does not "
            "keep them apart",
            UNPACKED,
        )
    if given.get("use_cache", getattr(model.config, "use_cache", False)):
        return (
            "the cache is on, with which transformers ignores where samples begin, so the model does not keep them "
            "apart",
            "pass use_cache=False to the model in every step",
        )
    attention = getattr(model.config, "_attn_implementation", "?")
    others = [] if attention == "eager" else ["eager"]
    if not attention.startswith("sdpa") and getattr(trainer.accelerator.unwrap_model(model), "_supports_sdpa", False):
        others.append("sdpa")
    instead = f"set attn_implementation to {' or '.join(others)}; if that does not help, " if others else ""
    return f"attention {attention} does not keep them apart in this model", f"{instead}{UNPACKED}"


def recurrent_layers(model: Any) -> list[str]:
    """The classes of a model's layers that carry a state from token to token, by their names."""
    names = {type(module).__name__ for module in model.modules()}
    # SSM only in capitals: it is in GptOssMLP otherwise.
    found = sorted(name for name in names if "SSM" in name or any(part in name.lower() for part in RECURRENT))
    whole = {getattr(type(model), "__name__", ""), type(getattr(model, "base_model", model)).__name__}
    # A model of such layers has their name too (MambaForCausalLM); its layers say more.
    return [name for name in found if name not in whole and not name.endswith(("ForCausalLM", "Model", "Norm"))]


def rounds_together(model: Any) -> bool:
    """Whether the rounding of a position depends on the other ones of its pass: in experts and quantized weights."""
    names = {type(module).__name__.lower() for module in model.modules()}
    has_experts = any("expert" in name or "moe" in name for name in names)
    return has_experts or getattr(model.config, "quantization_config", None) is not None


def with_others(ids: Any, lengths: Sequence[int]) -> Any:
    """Packed ids with another token, of those in them, at each position of the first sample, the third, and so on."""
    flat = ids.flatten()
    different = flat[flat != flat[0]]
    if not len(different):
        return ids
    is_changed = torch.arange(len(lengths)).remainder(2).eq(0).repeat_interleave(torch.tensor(lengths)).to(ids.device)
    changed = torch.where(flat == flat[0], different[0], flat[0])
    return torch.where(is_changed, changed, flat).view_as(ids)


def _moved(trainer: PackedTrainer, given: Mapping[str, Any], together: Any, lengths: Sequence[int]) -> float:
    """The largest difference of a sample's logits in a pass where the one before it has other tokens."""
    changed = {**given, "input_ids": with_others(given["input_ids"], lengths)}
    logits = _logits(trainer, trainer.model_wrapped, changed).flatten(0, 1)
    ends = [*accumulate(lengths, initial=0)]
    return reduce(
        _larger,
        (sample_difference(logits[a:b], together[a:b]) for a, b in [*pairwise(ends)][1::2]),
        0.0,
    )


@contextmanager
def _refusals(trainer: PackedTrainer) -> Iterator[None]:
    """Turn what a model with recurrent layers raises for packed samples into a ModelError that says what to do."""
    try:
        yield
    except ValueError as error:
        layers = recurrent_layers(trainer.model)
        if not layers:
            raise
        what = (
            f"{', '.join(layers)} of this model carry a state from one sample into the next: it refuses packed "
            f"samples ({' '.join(str(error).split())})"
        )
        raise ModelError("the check before training", what, UNPACKED) from error


@contextmanager
def _inputs_recorded(model: Any) -> Iterator[list[dict[str, Any]]]:
    """The arguments by name of each call of the model in the block."""
    calls: list[dict[str, Any]] = []
    handle = model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(dict(kwargs)), prepend=True, with_kwargs=True
    )
    try:
        yield calls
    finally:
        handle.remove()


def _logits(trainer: PackedTrainer, model: Any, inputs: Mapping[str, Any]) -> Any:
    """The logits of all positions of a forward pass, in float32."""
    with torch.no_grad(), trainer.compute_loss_context_manager():
        return model(**inputs).logits.float()


def sample_difference(one: Any, other: Any) -> float:
    """The difference of the logits of a sample, as a share of those of `other` about their mean: that of all positions,
    or of the first ones, if it is larger.
    """

    def share(positions: slice) -> float:
        scale = (other - other.mean(-1, keepdim=True))[positions].norm().clamp(min=1e-12)
        return float((one - other)[positions].norm() / scale)

    return _larger(share(slice(None)), share(slice(FIRST)))


def _larger(one: float, other: float) -> float:
    """The larger number; NaN where one of them is."""
    return one if one != one else other if other != other else max(one, other)


def samples_of(rows: Sequence[dict[str, list[int]]]) -> list[tuple[list[int], list[int]]]:
    """The (input_ids, labels) of each sample in packed rows."""
    samples = []
    for row in rows:
        ends = [0]
        for length in row["seq_lengths"]:
            ends.append(ends[-1] + length)
        samples += [(row["input_ids"][start:end], row["labels"][start:end]) for start, end in pairwise(ends)]
    return samples


def _summed_loss(logits: Any, labels: list[int]) -> float:
    """The summed loss of a sample over its trained tokens, from its logits."""
    targets = torch.tensor(labels[1:], device=logits.device)  # the logits at position i predict the token at i + 1
    trained = (targets != -100).nonzero().flatten()
    return float(torch.nn.functional.cross_entropy(logits[trained], targets[trained], reduction="sum"))
