"""The estimate of memory: by hand, against a measured step, and what follows from it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sfttrain
from sftdata.errors import ModelError
from sfttrain import hardware
from sfttrain.check import memory
from sfttrain.check.memory import FACTOR, Memory, Pass, Sizes, estimate, finding, layer_bytes
from sfttrain.config import parse_config

BASE = {"shards": "data", "model": "org/name", "out": "out"}
SIZES = Sizes(parameters=1000, trained=1000, layers=3, hidden=8, mlp=16, queries=8, keys=4, heads=2, vocabulary=100)
ADAPTER = Sizes(parameters=1000, trained=100, layers=3, hidden=8, mlp=16, queries=8, keys=4, heads=2, vocabulary=100)
FLOAT = Pass(tokens=10, trained_tokens=4, bfloat16=False, eager=False, masked=False)


def test_what_a_layer_keeps_by_hand():
    """Norms 4 x 8 floats; attention 2 x 8 + 2 x 8 + 2 x 4; MLP 2 x 8 + 4 x 16: 152 floats for each of 10 tokens."""
    assert layer_bytes(SIZES, FLOAT) == 10 * 152 * 4
    eager = Pass(tokens=10, trained_tokens=4, bfloat16=False, eager=True, masked=False)
    assert layer_bytes(SIZES, eager) == 10 * (152 * 4 + 2 * 10 * 2 * 4)
    half = Pass(tokens=10, trained_tokens=4, bfloat16=True, eager=False, masked=True)
    assert layer_bytes(SIZES, half) == 10 * (32 * 4 + 120 * 2 + 10 * 4)  # norms stay in float32


def test_full_training_takes_16_bytes_per_parameter_before_activations():
    made = estimate(parse_config(BASE), SIZES, FLOAT, checkpointing=False)
    assert (made.weights, made.gradients, made.optimizer, made.fixed) == (4000, 4000, 8000, 16_000)
    assert made.activations == 4 * 6080  # three layers, and the gradients of one
    assert made.logits == 3 * 4 * 4 * 100
    twice = estimate(parse_config(BASE), SIZES, FLOAT, checkpointing=True)
    assert twice.activations == 3 * 10 * 8 * 4 + 6080


def test_an_adapter_has_gradients_and_moments_of_its_own_weights_alone():
    made = estimate(parse_config({**BASE, "lora": True}), ADAPTER, FLOAT, checkpointing=False)
    assert (made.weights, made.gradients, made.optimizer) == (4000, 400, 800)
    half = Pass(tokens=10, trained_tokens=4, bfloat16=True, eager=False, masked=False)
    made = estimate(parse_config({**BASE, "lora": True}), ADAPTER, half, checkpointing=False)
    assert made.weights == 900 * 2 + 100 * 4 + 100 * 2


def test_the_optimizer_of_the_settings_is_counted():
    sgd = estimate(parse_config({**BASE, "trainer": {"optim": "sgd"}}), SIZES, FLOAT, checkpointing=False)
    assert sgd.optimizer == 4000


@pytest.mark.parametrize(
    ("free", "shared", "status"),
    [(10_000, False, "pass"), (600, False, "warn"), (200, False, "fail"), (200, True, "warn")],
)
def test_only_what_is_counted_exactly_fails(free: int, shared: bool, status: str):
    made = Memory(weights=100, gradients=100, optimizer=200, activations=300, logits=100, runtime=0)
    assert finding(made, free, checkpointing=False, shared=shared).status == status


MEASURED = """
import json, re, sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from sfttrain.check.memory import Pass, estimate, sizes_of
from sfttrain.config import parse_config

torch.set_num_threads(1)
lora = sys.argv[1] == "lora"

def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

def train(hidden, mlp, layers, vocabulary, tokens, steps=2):
    sizes = {"hidden_size": hidden, "intermediate_size": mlp, "num_hidden_layers": layers}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 3, "vocab_size": vocabulary, "tie_word_embeddings": True}
    made = LlamaConfig(**sizes, **heads)
    model = LlamaForCausalLM(made).train()
    if lora:
        from peft import get_peft_model
        from sfttrain.model import lora_config
        model = get_peft_model(model, lora_config(config.lora))
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad])
    open("/proc/self/clear_refs", "w").write("5")
    ids = torch.randint(0, vocabulary, (1, tokens))
    positions = torch.cat([torch.arange(tokens // 4)] * 4)[None]
    keep = torch.arange(0, tokens - 1, 4)
    for _ in range(steps):
        logits = model(input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=keep).logits[0]
        torch.nn.functional.cross_entropy(logits, ids[0, keep + 1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return made

config = parse_config({"shards": "d", "model": "m", "out": "o", "lora": lora})
train(96, 192, 1, 500, 256)  # what libraries load for their first step is not the model's
before = status("VmRSS")
made = train(384, 1024, 8, 8000, 1024)
peak = status("VmHWM") - before
one = Pass(tokens=1024, trained_tokens=256, bfloat16=False, eager=False, masked=True)
estimated = estimate(config, sizes_of(config, made), one, checkpointing=False).total
print(json.dumps({"peak": peak, "estimated": estimated}))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of a process is measured on Linux")
@pytest.mark.parametrize("way", ["full", "lora"])
def test_a_measured_peak_is_within_the_stated_factor(way: str):
    done = subprocess.run([sys.executable, "-c", MEASURED, way], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert 1 / FACTOR < found["peak"] / found["estimated"] < FACTOR


def test_activations_are_computed_twice_only_where_a_step_would_not_fit(
    settings: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    chosen = {}
    for free in (10**12, 205_000_000):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        summary = sfttrain.run(settings(max_steps=1, overwrite=True)).summary
        chosen[free] = summary["config"]["activation_checkpointing"]
    assert chosen == {10**12: "off", 205_000_000: "on"}


def test_weights_that_cannot_fit_stop_the_run_before_they_are_loaded(
    settings: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    with pytest.raises(ModelError, match="the weights and their optimizer alone are too large; train with lora"):
        sfttrain.run(settings())


def test_the_free_memory_of_a_cpu_is_what_linux_calls_available(tmp_path: Path):
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:   40 kB\n")
    assert hardware._available(tmp_path / "meminfo") == 40 * 1024
    assert hardware._available(tmp_path / "nowhere") is None


def test_a_container_leaves_what_is_below_its_limit(tmp_path: Path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 100\n")
    assert hardware._left(tmp_path) == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware._left(tmp_path) is None
