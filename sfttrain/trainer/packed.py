"""TRL's SFTTrainer for packed rows. Imports torch and trl: import it only where a run begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from trl import SFTTrainer

from sftdata.errors import DatasetError
from sfttrain.evaluate.figures import TURNS, Sums
from sfttrain.evaluate.places import Places
from sfttrain.evaluate.scores import keeps_some_logits, score_sequence
from sfttrain.trainer.batches import BatchPlan
from sfttrain.trainer.order import NUMBER, EpochOrder, WithBlanks


class EpochCallback(TrainerCallback):  # type: ignore[misc]
    """Tells the order of the sequences which epoch begins."""

    def __init__(self, order: EpochOrder, steps_per_epoch: int) -> None:
        self._order = order
        self._steps_per_epoch = steps_per_epoch

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._order.epoch = state.global_step // self._steps_per_epoch


# Where samples begin, for the kernels of attention and of recurrent layers.
BOUNDS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")


EVALUATION = "Evaluation"  # what a loader is for
NUMBERS_OF = "sequences"  # in a batch for validation: the numbers of its sequences, -1 for a blank
# What of an optimizer's group of parameters is a setting; the rest is its state.
NUMBERS = ("weight_decay", "betas", "eps", "momentum")


def numbered(collate: Callable[[list[dict[str, Any]]], dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch that says which sequences are in it."""
    return {**collate(rows), NUMBERS_OF: torch.tensor([row.get(NUMBER, -1) for row in rows])}


class PackedTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer with what packed rows need.

    It trains each sequence once an epoch in a known order (Trainer would train some twice where several processes do
    not divide them evenly), counts tokens and trained tokens, refuses a step without trained tokens (TRL would report
    loss 0.0 and continue), averages validation losses over tokens (Trainer averages over batches), and neither sends
    telemetry nor writes a model card.
    """

    def __init__(self, *args: Any, order: EpochOrder, batches: BatchPlan, **kwargs: Any) -> None:
        self.order = order
        self.batches = batches
        self.local_tokens = 0  # tokens this process has fetched to train on
        self.trained_tokens = 0  # tokens with loss, over all processes
        self.pass_losses: list[torch.Tensor] = []  # of this process's forward passes in the step
        self.gradient_norm: float | None = None  # over all processes
        self.places: Places | None = None  # of the trained tokens of the validation split, for figures by source
        self.figures: dict[str, Any] = {}  # of the last evaluation, see evaluate/figures.py
        self._sums = Sums.none(len(TURNS))  # of this process's part of an evaluation
        self.is_over = False  # the run that is continued had ended before its last step: only its model is left to save
        self.check_data: Callable[[], None] = lambda: None  # raises where the rows are no longer what they were
        self.recorded_checkpoint: Callable[[int], AbstractContextManager[None]] = lambda step: nullcontext()
        text = kwargs["model"].config.get_text_config()
        routers = getattr(text, "output_router_logits", None)
        super().__init__(*args, **kwargs)
        if routers is not None:
            # TRL switches it on in the config too, though its loss asks for it with each batch: the model that is saved
            # or answers prompts would compute a loss of its routers while it generates.
            text.output_router_logits = routers
        # Trainer counts a step's trained tokens only for models whose forward accepts the count. TRL's loss divides by
        # the count itself, so it is right for every model; without it, each batch of a step would weigh the same.
        self.model_accepts_loss_kwargs = True
        self._trained_only = self._can_score_trained_only()
        self.add_callback(EpochCallback(order, batches.steps_per_epoch))

    @property
    def tokens(self) -> int:
        """Tokens fetched to train on, over all processes. All processes must read it together."""
        local = torch.tensor(self.local_tokens, device=self.args.device)
        return int(self.accelerator.reduce(local, reduction="sum").item())

    @property
    def dtype(self) -> str:
        """The compute dtype."""
        return "bfloat16" if self.args.bf16 else "float32"

    def get_train_dataloader(self) -> DataLoader:
        """The sequences of this process, in the order of the epoch."""
        return self._loader(self.train_dataset, self.order, "Training", self._train_batch_size, is_training=True)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """The sequences for validation that are of this process, each once."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        size = self.args.eval_batch_size
        per_round = size * self.args.world_size if self.args.world_size > 1 else 1
        return self._loader(rows, EpochOrder(len(rows), per_round), EVALUATION, size, is_training=False)

    def _get_collator_with_removed_columns(self, data_collator: Any, description: str | None = None) -> Any:
        """The collator, as rows have no other columns; that of an evaluation also says which sequences it has."""
        return partial(numbered, data_collator) if description == EVALUATION else data_collator

    def _loader(
        self, rows: Any, order: EpochOrder, description: str, batch_size: int, *, is_training: bool
    ) -> DataLoader:
        dataset = WithBlanks(rows, len(order), self.processing_class.pad_token_id or 0, is_numbered=not is_training)
        return self._get_dataloader(dataset, description, batch_size, lambda _: order, is_training)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The batches of one optimizer step and the number of their trained tokens over all processes.

        None where a run continues after its last step.
        """
        if self.is_over or self.state.global_step >= self.state.max_steps:
            return [], None
        self.check_data()
        batches, trained = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches and not trained:
            raise DatasetError(
                f"step {self.state.global_step + 1}",
                "none of its tokens is trained, so there is nothing to learn from",
                "run `sftdata verify` on the dataset",
            )
        self.local_tokens += sum(self._num_tokens(batch) for batch in batches)
        self.trained_tokens += int(trained or 0)
        return batches, trained

    def _num_tokens(self, batch: Any) -> int:
        """The tokens in a batch, without blanks: each is a sample of one token, which no sample of a dataset is."""
        blanks = int((batch["cu_seq_lens_q"].diff() == 1).sum()) if self.args.world_size > 1 else 0
        return int(batch["input_ids"].numel()) - blanks

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss. On a CPU, the same value from the logits of the trained positions alone.

        There, TRL computes the logits of every position, which takes most of a step for a small model with a large
        vocabulary.
        """
        if return_outputs or not self._trained_only:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = dict(inputs)
        labels = inputs.pop("labels")[0]  # the collator joins all rows of a batch into one
        positions = (labels[1:] != -100).nonzero().flatten()  # the logits at position i predict the token at i + 1
        logits = model(**inputs, use_cache=False, logits_to_keep=positions).logits[0].float()
        total = torch.nn.functional.cross_entropy(logits, labels[positions + 1], reduction="sum")
        if num_items_in_batch is None:
            return total / max(len(positions), 1)
        return total / num_items_in_batch * self.accelerator.num_processes  # DDP takes the mean over processes

    def _prepare_inputs(self, inputs: Any) -> Any:
        """Trainer's inputs; without the bounds of samples where there is one sample, which a model with recurrent
        layers refuses where it has no kernel for them.
        """
        bounds = inputs.get("cu_seq_lens_q")
        if bounds is not None and len(bounds) == 2:
            inputs = {name: value for name, value in inputs.items() if name not in BOUNDS}
        return super()._prepare_inputs(inputs)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Trainer's state of a checkpoint, with the learning rate and the other numbers as they are set now.

        They are the same, unless a run is continued with changes or to another length.
        """
        given = [{name: group[name] for name in NUMBERS if name in group} for group in self.optimizer.param_groups]
        schedule = getattr(self.lr_scheduler, "scheduler", self.lr_scheduler)
        rates = list(getattr(schedule, "base_lrs", ()))
        super()._load_optimizer_and_scheduler(checkpoint)
        for group, numbers in zip(self.optimizer.param_groups, given, strict=True):
            group.update(numbers)
        if not isinstance(schedule, LambdaLR) or checkpoint is None:
            return
        schedule.base_lrs = rates
        schedule._last_lr = [
            rate * of_peak(schedule.last_epoch) for rate, of_peak in zip(rates, schedule.lr_lambdas, strict=True)
        ]
        for group, peak, rate in zip(self.optimizer.param_groups, rates, schedule._last_lr, strict=True):
            group["initial_lr"], group["lr"] = peak, rate

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Trainer's step, whose loss is kept."""
        loss = super().training_step(*args, **kwargs)
        self.pass_losses.append(loss)
        return loss

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        """Trainer's norm, which is kept."""
        norm = super()._get_grad_norm(*args, **kwargs)
        self.gradient_norm = None if norm is None else float(norm)
        return norm

    def _can_score_trained_only(self) -> bool:
        """Whether the loss is the plain one, on a CPU, of a model that can skip positions."""
        plain = self.args.loss_type == "nll" and self.label_smoother is None and not self.aux_loss_enabled
        on_cpu = self.args.device.type == "cpu"
        return plain and on_cpu and keeps_some_logits(self.accelerator.unwrap_model(self.model))

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        """The mean loss of one batch. The scores of its tokens are added to the sums of `evaluation_loop`.

        The loss of a batch of another loader is TRL's.
        """
        if NUMBERS_OF not in inputs:
            return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        numbers = [number for number in inputs.pop(NUMBERS_OF).tolist() if number >= 0]
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            base = self.accelerator.unwrap_model(self.model)
            loss, correct = score_sequence(model, dict(inputs), keeps_some=keeps_some_logits(base))
        cells = np.zeros(len(loss), np.int64) if self.places is None else self.places.cells_of(numbers)
        self._sums += Sums.of(cells, loss, correct, len(self._sums.tokens))
        return torch.tensor(loss.sum() / max(len(loss), 1), device=self.args.device), None, None

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Trainer's loop, with its loss replaced by the mean over all trained tokens, and the other figures."""
        self._sums = Sums.none(len(TURNS) if self.places is None else self.places.size)
        self.check_data()
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        kind = torch.float32 if self.args.device.type == "mps" else torch.float64
        sums = torch.tensor(self._sums.as_rows(), dtype=kind, device=self.args.device)
        total = Sums.from_rows(self.accelerator.reduce(sums, reduction="sum").cpu().double().numpy())
        if not total.tokens.sum():
            raise DatasetError("validation", "none of its tokens is trained", "run `sftdata verify` on the dataset")
        if self.places is not None:
            self.figures = self.places.figures(total)
            for name in ("accuracy", "perplexity", "bits_per_byte"):
                if self.figures[name] is not None:
                    output.metrics[f"{metric_key_prefix}_{name}"] = self.figures[name]
        output.metrics[f"{metric_key_prefix}_loss"] = float(total.loss.sum() / total.tokens.sum())
        return output

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Trainer's checkpoint, with a record of what is in it."""
        with self.recorded_checkpoint(self.state.global_step):
            super()._save_checkpoint(*args, **kwargs)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: run.json says how the model was made."""

    def _send_telemetry(self) -> None:
        """Do nothing."""
