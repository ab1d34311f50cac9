"""The SFTConfig that the settings of a run become."""

from __future__ import annotations

import pytest

from sfttrain.config import parse_config
from sfttrain.trainer.batches import BatchPlan
from sfttrain.trainer.sft_config import make_sft_config

BASE = {"shards": "data", "model": "org/name", "out": "out"}


def test_settings_of_the_trainer_override_the_defaults():
    batches = BatchPlan(1, 1, 1, 10.0, 4, 64)
    settings = {"eval_on_start": True, "logging_steps": 7, "save_total_limit": 5}
    config = parse_config({**BASE, "trainer": settings})
    args = make_sft_config(config, batches, "float32", validates=False, resumes=False)
    assert {name: getattr(args, name) for name in settings} == settings


@pytest.mark.parametrize(("warmup", "steps"), [(0.03, 6), (0.001, 0), (12, 12), (0, 0)])
def test_warmup_is_a_share_of_the_steps_or_a_number_of_them(warmup: float, steps: int):
    batches = BatchPlan(1, 2, 1, 10.0, 100, 64)  # 50 steps per epoch
    config = parse_config({**BASE, "epochs": 4, "warmup": warmup})
    assert make_sft_config(config, batches, "float32", validates=False, resumes=False).warmup_steps == steps
