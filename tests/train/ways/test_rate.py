"""The default learning rate, by hand: 5e-5 x (10 with LoRA) x (2000 / width) ^ (0.781 Llama, 0.0775 Qwen)."""

from __future__ import annotations

from typing import Any

import pytest

from sfttrain.config import parse_config
from sfttrain.ways.rate import pick_rate

BASE = {"shards": "data", "model": "org/name", "out": "out"}


def model(kind: str, width: int, **more: Any) -> Any:
    """A config as transformers reads it."""
    from transformers import LlamaConfig, PreTrainedConfig, Qwen3Config

    made = {"llama": LlamaConfig, "qwen3": Qwen3Config}.get(kind, PreTrainedConfig)(hidden_size=width, **more)
    if kind not in ("llama", "qwen3"):
        made.model_type = kind
    return made


@pytest.mark.parametrize(
    ("kind", "width", "lora", "value", "not_calibrated"),
    [
        ("llama", 4096, True, 2.9e-4, ""),  # 5e-4 x 0.48828^0.781 = 5e-4 x 0.5713
        ("llama", 4096, False, 2.9e-5, ""),
        ("llama", 2048, True, 4.9e-4, ""),  # 5e-4 x 0.97656^0.781 = 5e-4 x 0.9816
        ("llama", 576, True, 1.3e-3, "hidden sizes outside 2,048 to 8,192"),  # 5e-4 x 3.4722^0.781 = 5e-4 x 2.644
        ("qwen3", 4096, True, 4.7e-4, ""),  # 5e-4 x 0.48828^0.0775 = 5e-4 x 0.946
        ("qwen3", 1000, False, 5.3e-5, "hidden sizes outside 2,048 to 8,192"),  # 5e-5 x 2^0.0775 = 5e-5 x 1.0552
        ("gemma3_text", 2048, False, 2e-5, "models of type gemma3_text"),
        ("gemma3_text", 2048, True, 2e-4, "models of type gemma3_text"),
    ],
)
def test_the_rule(kind: str, width: int, lora: bool, value: float, not_calibrated: str):
    rate = pick_rate(parse_config({**BASE, "lora": lora}), model(kind, width))
    assert (rate.value, rate.not_calibrated_for) == (value, not_calibrated)


def test_a_rate_that_is_set_wins_over_the_rule():
    rate = pick_rate(parse_config({**BASE, "learning_rate": 3e-5}), model("llama", 4096))
    assert (rate.value, rate.not_calibrated_for) == (3e-5, "")
    assert "as set" in rate.reason


def test_the_reason_is_the_rule_with_its_source():
    rate = pick_rate(parse_config({**BASE, "lora": {"dora": True}}), model("llama", 4096))
    assert rate.in_words == (
        "0.00029: 5e-05 x 10 for LoRA x (2000 / 4,096)^0.781 for Llama (Schulman et al. 2025, LoRA Without Regret); "
        "not calibrated for DoRA"
    )
