"""The settings of `sfttrain run`: YAML, command line or Python -> TrainConfig, with every problem reported at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sftdata.settings.groups import Settings, check_settings, suggest
from sftdata.settings.overrides import apply_override, read_settings

# Names of SFTConfig that a setting of ours decides, and that setting.
OURS = {
    "output_dir": "out",
    "num_train_epochs": "epochs",
    "max_steps": "max_steps",
    "gradient_accumulation_steps": "batch_tokens",
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "schedule",
    "warmup_steps": "warmup",
    "warmup_ratio": "warmup",
    "seed": "seed",
    "data_seed": "seed",
    "eval_strategy": "eval_every",
    "eval_steps": "eval_every",
    "save_strategy": "save_every",
    "save_steps": "save_every",
    "bf16": "dtype",
    "fp16": "dtype",
    "resume_from_checkpoint": "resume",
    "trust_remote_code": "trust_remote_code",
}
# Names of SFTConfig that have one right value for packed, masked shards: another value trains on something else.
FIXED = frozenset(
    [
        "packing",
        "packing_strategy",
        "padding_free",
        "max_length",
        "truncation_mode",
        "dataset_kwargs",
        "dataset_text_field",
        "dataset_num_proc",
        "shuffle_dataset",
        "eval_packing",
        "completion_only_loss",
        "assistant_only_loss",
        "remove_unused_columns",
        "chat_template_path",
        "eos_token",
        "pad_token",
        "model_init_kwargs",
        "average_tokens_across_devices",
        "label_names",
        "save_only_model",
        "ignore_data_skip",
        "logging_nan_inf_filter",
        "disable_tqdm",
        "hub_token",
        "auto_find_batch_size",
        "use_cpu",
        "ddp_backend",
    ]
)


class LoraSettings(Settings):
    """A small adapter trained beside the frozen model."""

    r: int = Field(16, ge=1, description="rank of the adapter")
    alpha: int | None = Field(None, ge=1, description="its scale; twice the rank by default")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    target_modules: str | tuple[str, ...] = Field("all-linear", description="the layers that get one")


class TrainConfig(Settings):
    """All of `sfttrain run`."""

    shards: str = Field(description="the dataset that sftdata prepare wrote")
    model: str = Field(description="a folder or a hub id")
    out: str = Field(description="the folder for the trained model, its checkpoints and its metrics")
    epochs: float | None = Field(None, gt=0, description="passes over the data; 1 where max_steps is not set")
    max_steps: int | None = Field(None, ge=1, description="steps to train, instead of epochs")
    batch_tokens: int = Field(32_768, ge=1, description="tokens an optimizer step sees, about, over all processes")
    learning_rate: float | None = Field(None, gt=0, description="2e-5 by default, 2e-4 with LoRA")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="how the learning rate falls")
    warmup: float = Field(0.03, ge=0, description="below 1 a share of the steps, from 1 a number of them")
    lora: LoraSettings | None = Field(None, description="train an adapter; true, or a group of settings")
    seed: int = Field(0, ge=0, description="orders the rows and initializes the adapter")
    eval_every: int = Field(0, ge=0, description="steps between validation losses; 0: before and after training")
    save_every: int = Field(0, ge=0, description="steps between checkpoints, the last two kept; 0: only on Ctrl-C")
    attn_implementation: str = Field(
        "auto", description="eager, sdpa, flash_attention_2, ...; auto: the machine's best"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="what is computed in; auto: bfloat16 where the hardware is made for it"
    )
    resume: bool | str = Field(False, description="go on from the newest checkpoint in out, or from this one")
    overwrite: bool = Field(False, description="replace an earlier run in out")
    trust_remote_code: bool = Field(False, description="let a hub model run its own code")
    trainer: dict[str, Any] = Field(default_factory=dict, description="the rest of TRL's SFTConfig, by its own names")

    @field_validator("lora", mode="before")
    @classmethod
    def _switch_is_lora(cls, value: object) -> object:
        """`lora: true` stands for the defaults, `lora: false` for none."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @field_validator("trainer")
    @classmethod
    def _trainer_names(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Only names of SFTConfig that no setting of ours decides; numbers that YAML takes for text are numbers."""
        if not value:
            return value  # nothing to look up: torch stays unloaded
        known = _sft_config_fields()
        value = {name: _number(setting, known.get(name, "")) for name, setting in value.items()}
        problems = [problem for name in value if (problem := _trainer_problem(name, value[name], known))]
        if problems:
            raise ValueError("\n".join(problems))
        return value

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if self.epochs is not None and self.max_steps is not None:
            raise ValueError("epochs and max_steps are both set; keep one of them")
        return self

    @property
    def rate(self) -> float:
        """The learning rate at the top of the schedule."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 2e-5 if self.lora is None else 2e-4


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file and apply `dotted.key=value` overrides. Paths in the file are relative to the file.

    Raises ConfigError naming every problem of the file and the overrides at once.
    """
    path = Path(path)
    settings = read_settings(path, "`shards:`, `model:` and `out:`")
    for key in ("shards", "model", "out", "resume"):
        value = settings.get(key)
        # A model that is no folder beside the file is a hub id.
        if isinstance(value, str) and (key != "model" or (path.parent / value).exists()):
            settings[key] = str(path.parent / value)
    return config_of(settings, overrides, str(path))


def config_of(settings: Mapping[str, Any], overrides: Sequence[str] = (), where: str = "config") -> TrainConfig:
    """Settings and `dotted.key=value` overrides as a TrainConfig. Raises ConfigError naming every problem at once."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()}
    for override in overrides:
        if override.startswith("lora.") and isinstance(merged.get("lora"), (bool, type(None))):
            merged["lora"] = {}
        apply_override(merged, override)
    return check_settings(TrainConfig, merged, where)


def _sft_config_fields() -> dict[str, str]:
    """The names of SFTConfig and their annotations."""
    from trl import SFTConfig

    types = {field.name: field.type for field in dataclasses.fields(SFTConfig) if field.init}
    return {name: kind.__name__ if isinstance(kind, type) else str(kind) for name, kind in types.items()}


def _trainer_problem(name: str, value: Any, known: Mapping[str, str]) -> str | None:
    """Why `trainer.NAME` cannot be set, or None."""
    if name in OURS:
        return f"trainer.{name} is decided by {OURS[name]}; set that instead"
    if name in FIXED:
        return f"trainer.{name} cannot be set: sfttrain sets what packed shards need"
    if name not in known:
        free = [field for field in known if field not in OURS and field not in FIXED]
        return f"trainer.{name} is not a setting of SFTConfig" + suggest(name, free, prefix="trainer.")
    if not _fits(value, known[name]):
        return f"trainer.{name} cannot be {value!r}: SFTConfig asks for {known[name]}"
    if name == "per_device_train_batch_size" and value < 1:
        return f"trainer.{name} must be at least 1"
    return None


def _fits(value: Any, annotation: str) -> bool:
    """Whether a value is of the plain kind that an annotation such as `float | None` names; True where it names more.

    SFTConfig itself does not look, and the run would end much later in something else's traceback.
    """
    kinds = {kind.strip() for kind in annotation.split("|")}
    if not kinds <= {"int", "float", "bool", "None"}:
        return True
    if value is None or isinstance(value, bool):
        return ("None" if value is None else "bool") in kinds
    return (isinstance(value, int) and bool(kinds & {"int", "float"})) or (
        isinstance(value, float) and "float" in kinds
    )


def _number(value: Any, annotation: str) -> Any:
    """YAML reads 1e-2 as text; where SFTConfig asks for a number, it is one."""
    if isinstance(value, str) and "float" in annotation:
        try:
            return float(value)
        except ValueError:
            return value
    return value
