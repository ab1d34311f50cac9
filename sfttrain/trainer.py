"""TRL's SFTTrainer, told how packed shards are trained. Imports torch and trl: import it only where a run begins."""

from __future__ import annotations

import dataclasses
from inspect import signature
from typing import Any

from trl import SFTConfig, SFTTrainer

from sftdata.errors import DatasetError
from sfttrain.config import TrainConfig
from sfttrain.data import BatchShape

OLD_NAME, NEW_NAME = "gradient_checkpointing", "activation_checkpointing"


class PackedTrainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer on packed rows, with what it leaves out.

    It counts tokens and trained tokens, refuses a step without trained tokens (TRL reports loss 0.0 there and goes
    on), weighs validation losses by tokens (Trainer weighs them by batches), and neither phones home nor writes a
    model card.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.tokens_here = 0  # tokens this process has fetched to train on
        self.trained_tokens = 0  # tokens with loss, over all processes
        self._eval_loss = self._eval_tokens = 0.0
        super().__init__(*args, **kwargs)
        # Trainer counts a step's trained tokens only for models whose forward takes the count. TRL's loss divides by
        # the count itself, so it is right for every model; without it, each batch of a step would weigh the same.
        self.model_accepts_loss_kwargs = True
        self._trained_only = self._can_score_trained_only()

    @property
    def tokens(self) -> int:
        """Tokens fetched to train on, over all processes; every process must ask."""
        import torch

        here = torch.tensor(self.tokens_here, device=self.args.device)
        return int(self.accelerator.reduce(here, reduction="sum").item())

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
        """The batches of one optimizer step and the number of their trained tokens over all processes."""
        batches, trained = super().get_batch_samples(epoch_iterator, num_batches, device)
        if batches and not trained:
            raise DatasetError(
                f"step {self.state.global_step + 1}",
                "none of its tokens is trained, so there is nothing to learn from",
                "run `sftdata verify` on the dataset",
            )
        self.tokens_here += sum(batch["input_ids"].numel() for batch in batches)
        self.trained_tokens += int(trained or 0)
        return batches, trained

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss. On a CPU the same number from the trained positions alone: TRL scores every position there,
        which for a small model with a large vocabulary is most of a step."""
        if return_outputs or not self._trained_only:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        import torch

        inputs = dict(inputs)
        labels = inputs.pop("labels")[0]  # the collator puts all rows of a batch into one
        before = (labels[1:] != -100).nonzero().flatten()  # what stands at i is told from what stands before it
        logits = model(**inputs, use_cache=False, logits_to_keep=before).logits[0].float()
        total = torch.nn.functional.cross_entropy(logits, labels[before + 1], reduction="sum")
        if num_items_in_batch is None:
            return total / max(len(before), 1)
        return total / num_items_in_batch * self.accelerator.num_processes  # DDP takes the mean over processes

    def _can_score_trained_only(self) -> bool:
        """Whether the plain loss is asked for, on a CPU, of a model that can leave out positions."""
        base = self.accelerator.unwrap_model(self.model)
        base = base.get_base_model() if hasattr(base, "get_base_model") else base
        plain = self.args.loss_type == "nll" and self.label_smoother is None and not self.aux_loss_enabled
        return plain and self.args.device.type == "cpu" and "logits_to_keep" in signature(type(base).forward).parameters

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        """One batch's mean loss, remembered with the number of tokens it is the mean of."""
        loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        trained = int((inputs["labels"][..., 1:] != -100).sum())
        self._eval_loss += float(loss) * trained
        self._eval_tokens += trained
        return loss, logits, labels

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> Any:
        """Trainer's loop, its loss replaced by the mean over all trained tokens."""
        import torch

        self._eval_loss = self._eval_tokens = 0.0
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        sums = torch.tensor([self._eval_loss, self._eval_tokens], dtype=torch.float32, device=self.args.device)
        loss, tokens = self.accelerator.reduce(sums, reduction="sum").tolist()
        if not tokens:
            raise DatasetError("validation", "none of its tokens is trained", "run `sftdata verify` on the dataset")
        output.metrics[f"{metric_key_prefix}_loss"] = loss / tokens
        return output

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: run.json says how the model was made."""

    def _send_telemetry(self) -> None:
        """Nothing leaves the machine."""


def sft_config(config: TrainConfig, shape: BatchShape, dtype: str, *, validates: bool, resumes: bool) -> SFTConfig:
    """What TRL must be told to train on packed rows as they are, each sample alone. Raises ValueError, TypeError.

    `packing` with `skip_prepare_dataset` makes the collator restart positions at each of `seq_lengths` and leave out
    the attention mask; either one alone trains on something else, without an error.
    """
    import torch

    steps = shape.steps(config.epochs, config.max_steps)
    gpu, cpu = torch.cuda.is_available(), torch.accelerator.current_accelerator() is None
    defaults: dict[str, Any] = {
        "per_device_eval_batch_size": shape.rows_per_device,
        "logging_steps": 1,
        "save_total_limit": 2,
        "eval_on_start": validates and not resumes,
        "report_to": "none",
        _checkpointing_name(): gpu,
        "dataloader_pin_memory": gpu,
    }
    ours: dict[str, Any] = {
        "output_dir": config.out,
        "max_steps": config.max_steps or -1,
        "num_train_epochs": config.epochs or 1.0,
        "per_device_train_batch_size": shape.rows_per_device,
        "gradient_accumulation_steps": shape.accumulation,
        "learning_rate": config.rate,
        "lr_scheduler_type": "constant_with_warmup" if config.schedule == "constant" else config.schedule,
        "warmup_steps": int(config.warmup if config.warmup >= 1 else config.warmup * steps),
        "seed": config.seed,
        "data_seed": config.seed,
        "eval_strategy": "steps" if validates and config.eval_every else "no",
        "eval_steps": config.eval_every or None,
        "save_strategy": "steps" if config.save_every else "no",
        "save_steps": config.save_every or 500,
        "bf16": dtype == "bfloat16",
        "trust_remote_code": config.trust_remote_code,
    }
    fixed: dict[str, Any] = {
        "packing": True,
        "packing_strategy": "bfd",
        "max_length": shape.seq_len,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "assistant_only_loss": False,
        "completion_only_loss": False,
        "shuffle_dataset": False,
        "average_tokens_across_devices": True,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "use_cpu": cpu,  # left to itself, several processes on CPUs would each train alone
        "ddp_backend": "gloo" if cpu and shape.world_size > 1 else None,
    }
    chosen = {_checkpointing_name() if name == OLD_NAME else name: value for name, value in config.trainer.items()}
    return SFTConfig(**{**defaults, **chosen, **ours, **fixed})


def _checkpointing_name() -> str:
    """What the installed transformers calls the recomputing of activations: one that knows both warns of the old."""
    fields = {field.name for field in dataclasses.fields(SFTConfig)}
    return NEW_NAME if NEW_NAME in fields else OLD_NAME
