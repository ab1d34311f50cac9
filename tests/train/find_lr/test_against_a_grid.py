"""The rate that halving finds, against all rates trained to the end, on real conversations."""

from __future__ import annotations

from pathlib import Path

import sftdata
from sfttrain.config import parse_config
from sfttrain.find_lr.sweep import find_rate

ROOT = Path(__file__).resolve().parents[3]


def test_the_rate_is_within_a_factor_of_2_of_the_best_of_a_full_grid(
    tiny_tokenizer: Path, tiny_model: Path, tmp_path: Path
):
    data = ROOT / "examples" / "demo" / "train.jsonl"
    settings = {"pack": {"seq_len": 256}, "split": {"validation": 8}, "max_records": 120}
    sftdata.prepare(str(data), tokenizer=str(tiny_tokenizer), out=str(tmp_path / "data"), progress=False, **settings)
    given = {"shards": str(tmp_path / "data"), "model": str(tiny_model), "out": str(tmp_path / "out")}
    config = parse_config({**given, "max_steps": 32, "batch_tokens": 256, "dtype": "float32", "learning_rate": 3e-3})
    sweep = find_rate(config, tmp_path / "lr")
    assert [one.rates for one in sweep.start.plan.rounds] == [7, 3]
    assert sweep.recommendation is not None

    from sfttrain.find_lr.trial import train_rate

    start = sweep.start
    done = {one.rate: one for one in sweep.last}
    grid = [
        done.get(rate) or train_rate(start.config, start.shards, start.batches, rate, 32, start.start_loss)
        for rate in {*start.plan.rates, *done}
    ]
    best = min(grid, key=lambda one: one.order)
    assert best.rate / 2 < sweep.recommendation.rate < best.rate * 2
