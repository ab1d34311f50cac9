"""The model and its trainer, built from the settings of a run. Imports torch, transformers and trl."""

from __future__ import annotations

import os

from accelerate.utils import DistributedType
from huggingface_hub.errors import HfHubHTTPError
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import SFTConfig

from sftdata.errors import ConfigError, ModelError, first_line
from sfttrain.config import TrainConfig
from sfttrain.data import TRAIN, VALIDATION, Shards
from sfttrain.fetched_rows import FetchedRows
from sfttrain.hardware import check_ways, pick_attention, pick_dtype
from sfttrain.model import load_model, load_tokenizer, lora_config
from sfttrain.trainer.attention import use_by_sample
from sfttrain.trainer.batches import BatchPlan
from sfttrain.trainer.order import EpochOrder, plan_fetching
from sfttrain.trainer.packed import PackedTrainer
from sfttrain.trainer.sft_config import make_sft_config
from sfttrain.ways.noise import add_noise


def build_trainer(config: TrainConfig, shards: Shards, batches: BatchPlan, *, resumes: bool) -> PackedTrainer:
    """Load the model and build its trainer on the shards.

    Raises ConfigError where SFTConfig refuses a setting, and ModelError where the model cannot be loaded or none of
    its parameters would be trained.
    """
    check_ways(quantize=config.lora is not None and config.lora.quantize != "none", liger=config.liger)
    dtype = pick_dtype(config.dtype)
    checkpointing = config.activation_checkpointing == "on"
    train, validation = shards.rows(TRAIN), shards.rows(VALIDATION)
    shown = train, validation
    if isinstance(train, FetchedRows):
        plan_fetching(config, batches, train, validation)
        shown = train.first(), None if validation is None else train.first()
    try:
        args = make_sft_config(
            config,
            batches,
            dtype,
            validates=validation is not None,
            resumes=resumes,
            checkpointing=checkpointing,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError("trainer", " ".join(str(error).split()), "see TRL's SFTConfig") from error
    except ImportError as error:  # of DeepSpeed, which accelerate launch asks for
        raise ConfigError("trainer", first_line(error), "install the package, or start it without that") from error
    _check_processes(args, batches)
    model = load_model(config, dtype, pick_attention(config.attn_implementation, dtype))
    if args.device.type == "cpu" and config.attn_implementation == "auto":
        use_by_sample(model)
    adapter = lora_config(config.lora)
    try:
        trainer = PackedTrainer(
            model=model,
            args=args,
            train_dataset=shown[0],
            eval_dataset=shown[1],
            processing_class=load_tokenizer(shards),
            peft_config=adapter,
            order=_order(config, shards, batches),
            batches=batches,
        )
    except ValueError as error:  # a target module that does not exist, or settings that TRL refuses together
        raise ModelError(config.model, " ".join(str(error).split()), "change the setting it names") from error
    except (OSError, HfHubHTTPError) as error:  # of the hub, where Trainer makes a repository
        if not args.push_to_hub:
            raise
        what = f"the repository cannot be made ({first_line(error)})"
        raise ConfigError("trainer.push_to_hub", what, "log in with `hf auth login`, or leave it out") from error
    trainer.train_dataset, trainer.eval_dataset = train, validation
    if not any(parameter.requires_grad for parameter in trainer.model.parameters()):
        raise ModelError(config.model, "none of its parameters would be trained", "check lora.target_modules")
    if config.neftune is not None:
        add_noise(trainer.model, config.neftune)
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def _check_processes(args: SFTConfig, batches: BatchPlan) -> None:
    """Raise ConfigError where processes do not train together, or not in the way that was set."""
    if args.world_size != batches.world_size:
        what = f"{batches.world_size} processes were started, but {args.world_size} of them train together"
        raise ConfigError("trainer", what, "start them with torchrun or accelerate launch")
    kind = args.distributed_state.distributed_type
    for name in ("FSDP", "DEEPSPEED"):
        asked = os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true"
        if asked and kind in (DistributedType.NO, DistributedType.MULTI_CPU):
            run = "these processes run on CPUs" if args.world_size > 1 else f"this process runs on {args.device.type}"
            what = f"accelerate shards a model on GPUs alone, and {run}"
            raise ConfigError(f"distributed_type: {name}", what, "start them with torchrun, or on GPUs")


def _order(config: TrainConfig, shards: Shards, batches: BatchPlan) -> EpochOrder:
    """In which order the sequences are trained. Where one process trains alone, its last batch may be smaller."""
    per_round = batches.rows_per_device * batches.world_size if batches.world_size > 1 else 1
    lengths = shards.lengths(TRAIN) if config.sort == "length" else None
    return EpochOrder(batches.num_rows, per_round, config.seed, lengths)
