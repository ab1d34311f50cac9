"""The default learning rate: a rule by the model's width and family and by what is trained, with its source.

The rule is that of Schulman et al. 2025, LoRA Without Regret (thinkingmachines.ai/blog/lora), as their tinker-cookbook
has it (hyperparam_utils.get_lr): 5e-5 x (10 with LoRA) x (2000 / hidden size) ^ P, with P 0.781 for Llama and 0.0775
for Qwen, fitted on sweeps over models of both families. Elsewhere it says nothing: there, the defaults of TRL and of
the QLoRA paper stand, and it is said that they are not calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sfttrain.config import FULL_RATE, LORA_RATE, TrainConfig

BASE, WIDTH, LORA_FACTOR = 5e-5, 2000, 10
POWERS = {"Llama": 0.781, "Qwen": 0.0775}
FITTED = (2048, 8192)  # the hidden sizes of Llama 3 from 1B to 70B; Qwen's lie within
SOURCE = "Schulman et al. 2025, LoRA Without Regret"
TRY_OTHERS = "compare some rates on your shards with `sfttrain find-lr`"


@dataclass(frozen=True, slots=True)
class Rate:
    """A learning rate, where it comes from, and what it was not calibrated for (nothing where it was)."""

    value: float
    reason: str
    not_calibrated_for: str = ""
    is_set: bool = False  # by the settings, not by the rule

    @property
    def in_words(self) -> str:
        """The rate with its reason."""
        doubt = f"; not calibrated for {self.not_calibrated_for}" if self.not_calibrated_for else ""
        return f"{self.value:g}: {self.reason}{doubt}"


def pick_rate(config: TrainConfig, model: Any) -> Rate:
    """The learning rate of a run, from its settings or by the rule; `model` is the model's config."""
    if config.learning_rate is not None:
        preset = f", or by the preset {config.preset}" if config.preset else ""
        return Rate(config.learning_rate, f"as set in the settings{preset}", is_set=True)
    text = model.get_text_config()
    family, width = family_of(text), getattr(text, "hidden_size", None)
    if family is None or not isinstance(width, int) or width < 1:
        what = "the default of TRL" if config.lora is None else "ten times the default of TRL, as in the QLoRA paper"
        value = FULL_RATE if config.lora is None else LORA_RATE
        return Rate(value, what, f"models of type {getattr(text, 'model_type', 'unknown')}")
    factor = 1 if config.lora is None else LORA_FACTOR
    value = float(f"{BASE * factor * (WIDTH / width) ** POWERS[family]:.2g}")
    times = "" if config.lora is None else f" x {LORA_FACTOR} for LoRA"
    reason = f"{BASE:g}{times} x (2000 / {width:,})^{POWERS[family]} for {family} ({SOURCE})"
    return Rate(value, reason, _outside(config, text, width))


def family_of(model: Any) -> str | None:
    """The family of models that the rule was fitted for; None for another one."""
    kind = str(getattr(model, "model_type", "")).lower()
    if kind in ("llama", "llama4_text"):
        return "Llama"
    return "Qwen" if kind.startswith("qwen") else None


def _outside(config: TrainConfig, model: Any, width: int) -> str:
    """In which respect the rule is used where it was not fitted; empty where it was."""
    outside = []
    if not FITTED[0] <= width <= FITTED[1]:
        outside.append(f"hidden sizes outside {FITTED[0]:,} to {FITTED[1]:,}")
    if any(getattr(model, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        outside.append("mixtures of experts")
    if config.lora is not None:
        outside += [what for is_on, what in _variants(config) if is_on]
    return ", ".join(outside)


def _variants(config: TrainConfig) -> list[tuple[bool, str]]:
    lora = config.lora
    assert lora is not None
    return [(lora.rslora, "rsLoRA"), (lora.dora, "DoRA"), (lora.quantize != "none", "4-bit weights")]
