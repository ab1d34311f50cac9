"""The settings of `sfttrain run`, from YAML, the command line or Python. All problems are reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeGuard

from pydantic import Field, field_validator, model_validator

from sftdata.settings.groups import Settings, check_settings
from sftdata.settings.other_names import Names
from sftdata.settings.overrides import apply_override, read_settings
from sfttrain.evaluate.settings import EvaluateSettings
from sfttrain.trainer.other_names import TRAIN_NAMES
from sfttrain.trainer.settings import check_trainer_settings
from sfttrain.ways.presets import preset_names, with_preset

FULL_RATE, LORA_RATE = 2e-5, 2e-4  # where nothing is known of the model: see ways/rate.py
RSLORA_ALPHA = 8


Tracker = Literal["tensorboard", "wandb", "trackio", "mlflow", "comet_ml", "clearml", "swanlab", "dvclive"]


class LoraSettings(Settings):
    """A LoRA adapter, trained while the model's own weights are frozen."""

    r: int = Field(16, ge=1, description="rank of the adapter")
    alpha: int | None = Field(
        None, ge=1, description="scale of the adapter; twice the rank by default, 8 with rslora: the same at rank 16"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    target_modules: str | tuple[str, ...] = Field("all-linear", description="the layers that get an adapter")
    rslora: bool = Field(False, description="rsLoRA: scale by alpha / sqrt(r), not alpha / r (arXiv 2312.03732)")
    dora: bool = Field(False, description="DoRA: train the length of each weight vector too (arXiv 2402.09353)")
    quantize: Literal["none", "nf4"] = Field(
        "none", description="nf4: QLoRA, the frozen weights in 4 bits; needs a GPU and bitsandbytes (arXiv 2305.14314)"
    )

    @property
    def scale_alpha(self) -> int:
        """Alpha, with its default filled in."""
        if self.alpha is not None:
            return self.alpha
        return RSLORA_ALPHA if self.rslora else 2 * self.r


class DropoutSettings(Settings):
    """Dropout while training, where the model's config has it; a kind that it has not is refused."""

    residual: float | None = Field(None, ge=0, lt=1, description="on what a layer adds to its input")
    attention: float | None = Field(None, ge=0, lt=1, description="on the attention weights")
    embedding: float | None = Field(None, ge=0, lt=1, description="on the embeddings")


class TrainConfig(Settings):
    """All settings of `sfttrain run`."""

    other_names: ClassVar[Names] = TRAIN_NAMES
    listed_by: ClassVar = "sfttrain run --help"

    shards: str = Field(description="a folder that `sftdata prepare` wrote, or its address on a store")
    model: str = Field(description="a local folder or a hub id")
    out: str = Field(description="the folder for the trained model, its checkpoints and its metrics")
    preset: str | None = Field(
        None, description="settings under a name, which other settings override: full, lora, qlora, instructgpt"
    )
    epochs: float | None = Field(None, gt=0, description="passes over the data; 1 where max_steps is not set")
    max_steps: int | None = Field(None, ge=1, description="optimizer steps to train, instead of epochs")
    batch_tokens: int = Field(32_768, ge=1, description="tokens per optimizer step over all processes, approximately")
    learning_rate: float | None = Field(
        None, gt=0, description="the peak learning rate; by default from a rule by the model's size and family"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="how the learning rate decays")
    final_rate: float = Field(
        0.0, ge=0, le=1, description="where the cosine ends, as a share of the peak learning rate"
    )
    warmup: float = Field(0.03, ge=0, description="below 1 a share of the steps, from 1 a number of steps")
    lora: LoraSettings | None = Field(None, description="train a LoRA adapter; true, or a group of settings")
    dropout: DropoutSettings | None = Field(None, description="dropout of the model while training")
    neftune: float | None = Field(
        None,
        gt=0,
        description="NEFTune: noise on the embeddings, scaled for each sample; 5 is usual (arXiv 2310.05914)",
    )
    activation_checkpointing: Literal["auto", "on", "off"] = Field(
        "auto", description="compute activations twice to save memory; auto: where the estimate of memory asks for it"
    )
    liger: bool = Field(False, description="Liger's kernels; need a GPU and the package liger-kernel")
    seed: int = Field(
        0, ge=0, description="determines the order of the sequences from the second epoch on, dropout, and the adapter"
    )
    sort: Literal["none", "length"] = Field(
        "none",
        description="none: the first epoch in the order of the shards, each later one in another; length: short first",
    )
    eval_every: int = Field(0, ge=0, description="steps between validation losses; 0: only before and after training")
    evaluate: EvaluateSettings = Field(
        default_factory=EvaluateSettings, description="prompts to answer at each evaluation, and checks on the answers"
    )
    patience: int | None = Field(
        None, ge=1, description="early stopping: evaluations in a row without a lower validation loss; needs eval_every"
    )
    keep: Literal["last", "best"] = Field(
        "last", description="the model to save; best: that of the lowest validation loss, at eval_every"
    )
    save_every: int = Field(0, ge=0, description="steps between checkpoints, the last two kept; 0: only on Ctrl-C")
    attn_implementation: str = Field(
        "auto", description="eager, sdpa, flash_attention_2, ...; auto: the best one available"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="the compute dtype; auto: bfloat16 where the hardware supports it natively"
    )
    resume: bool | str = Field(False, description="continue from the newest checkpoint in out, or from this one")
    allow_changes: bool = Field(
        False, description="with resume: continue with other data, seed, batch or rate than before, and say which"
    )
    overwrite: bool = Field(False, description="replace an earlier run in out")
    trust_remote_code: bool = Field(False, description="let a hub model run its own code")
    log_to: tuple[Tracker, ...] = Field(
        (), description="trackers that get the losses, each with its package; nothing is sent to any other"
    )
    trainer: dict[str, Any] = Field(
        default_factory=dict, description="other fields of TRL's SFTConfig, by their own names"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, value: object) -> object:
        return with_preset(value) if isinstance(value, Mapping) else value

    @field_validator("preset")
    @classmethod
    def _check_preset(cls, value: str | None) -> str | None:
        if value is not None and value not in preset_names():
            raise ValueError(f"there is no preset {value!r}: {', '.join(preset_names())}")
        return value

    @field_validator("activation_checkpointing", mode="before")
    @classmethod
    def _switch_from_bool(cls, value: object) -> object:
        """YAML reads `on` and `off` as true and false."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @field_validator("log_to", mode="before")
    @classmethod
    def _trackers_from_text(cls, value: object) -> object:
        """One name is a list of one, and `none` is none; a name counts once."""
        if value is None or value == "none":
            return ()
        return (value,) if isinstance(value, str) else tuple(dict.fromkeys(value)) if _is_names(value) else value

    @field_validator("lora", mode="before")
    @classmethod
    def _lora_from_bool(cls, value: object) -> object:
        """`lora: true` means the default settings, `lora: false` no adapter."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @field_validator("shards", "model", "out", "resume")
    @classmethod
    def _check_path(cls, value: object) -> object:
        if isinstance(value, str) and (not value.strip() or "\0" in value):
            raise ValueError("is empty, or has a null character in it")
        return value

    @field_validator("trainer")
    @classmethod
    def _check_trainer(cls, value: dict[str, Any]) -> dict[str, Any]:
        return check_trainer_settings(value)

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if self.epochs is not None and self.max_steps is not None:
            raise ValueError("epochs and max_steps are both set; keep one of them")
        if (self.patience is not None or self.keep == "best") and not self.eval_every:
            name = "patience" if self.patience is not None else "keep"
            raise ValueError(f"{name} compares validation losses, and eval_every is 0; set eval_every")
        if self.keep == "best" and self.save_every not in (0, self.eval_every):
            raise ValueError("keep: best saves a checkpoint at each evaluation; leave save_every out")
        if self.final_rate and self.schedule != "cosine":
            raise ValueError(
                f"final_rate is where the cosine ends, and schedule is {self.schedule}; remove one of them"
            )
        return self

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warmup; where it is not set, as for a model of which nothing is known."""
        if self.learning_rate is not None:
            return self.learning_rate
        return FULL_RATE if self.lora is None else LORA_RATE


def _is_names(value: object) -> TypeGuard[Sequence[str]]:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file and apply `dotted.key=value` overrides. Paths in the file are relative to the file.

    Raises ConfigError naming every problem of the file and the overrides at once.
    """
    path = Path(path)
    settings = read_settings(path, "`shards:`, `model:` and `out:`")
    for key in ("shards", "model", "out", "resume"):
        value = settings.get(key)
        # A model is a hub id unless there is such a folder next to the file.
        if key == "shards" and isinstance(value, str) and "://" in value:
            continue
        if isinstance(value, str) and (key != "model" or (path.parent / value).exists()):
            settings[key] = str(path.parent / value)
    given = settings.get("evaluate")
    if isinstance(given, Mapping):
        settings["evaluate"] = beside(given, path.parent)
    return parse_config(settings, overrides, str(path))


def beside(evaluate: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings of `evaluate` in a file, whose paths are relative to the folder that it is in."""
    found = dict(evaluate)
    if isinstance(found.get("prompts"), str):
        found["prompts"] = str(folder / found["prompts"])
    if isinstance(found.get("checks"), list):
        found["checks"] = [
            {**one, "json_schema": str(folder / one["json_schema"])}
            if isinstance(one, Mapping) and isinstance(one.get("json_schema"), str)
            else one
            for one in found["checks"]
        ]
    return found


def parse_config(settings: Mapping[str, Any], overrides: Sequence[str] = (), where: str = "config") -> TrainConfig:
    """Check settings and `dotted.key=value` overrides. Raises ConfigError naming every problem at once."""
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in settings.items()}
    for override in overrides:
        if override.startswith("lora.") and isinstance(merged.get("lora"), (bool, type(None))):
            merged["lora"] = {}
        apply_override(merged, override)
    return check_settings(TrainConfig, merged, where)


def resolve_config(config: TrainConfig | Mapping[str, Any] | str | Path) -> TrainConfig:
    """A TrainConfig as it is, or one made from a mapping or a YAML file. Raises ConfigError."""
    if isinstance(config, TrainConfig):
        return config
    return parse_config(config) if isinstance(config, Mapping) else load_config(config)
