"""Each way to train reaches the trainer, and is refused in a sentence where it cannot be had."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sfttrain
from sftdata.errors import ConfigError
from sfttrain.config import LoraSettings, parse_config
from sfttrain.data import TRAIN, open_shards
from sfttrain.model import four_bits, lora_config
from sfttrain.trainer.batches import plan_batches

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def trainer_of(settings: Settings) -> Callable[..., Any]:
    """The trainer that a run with these settings builds."""

    def build(**changes: Any) -> Any:
        from sfttrain.trainer.build import build_trainer

        config = parse_config(settings(**changes))
        shards = open_shards(config.shards, checksums=False)
        batches = plan_batches(config, shards.manifest.splits[TRAIN], shards.manifest.seq_len, 1)
        return build_trainer(config, shards, batches, resumes=True)

    return build


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> str:
    """A GPT-2, whose config has residual, attention and embedding dropout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("gpt2")
    config = GPT2Config(vocab_size=640, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    shutil.copy(tiny_tokenizer / "tokenizer.json", folder)
    return str(folder)


def losses_in_training(trainer: Any, times: int = 2) -> list[float]:
    """The loss of the same first sequence, in training mode."""
    batch = trainer.data_collator([trainer.train_dataset[0]])
    trainer.model.train()
    return [float(trainer.compute_loss(trainer.model, dict(batch)).detach()) for _ in range(times)]


def test_without_dropout_and_noise_a_step_has_one_loss(trainer_of: Callable[..., Any]):
    first, second = losses_in_training(trainer_of())
    assert first == second


def test_noise_changes_the_loss_in_training_and_not_in_validation(trainer_of: Callable[..., Any]):
    plain, noisy = trainer_of(), trainer_of(neftune=20.0)
    first, second = losses_in_training(noisy)
    assert first != second
    rows = [noisy.train_dataset[0]]
    for trainer in (plain, noisy):
        trainer.model.eval()
    alone, other = (float(t.compute_loss(t.model, dict(t.data_collator(rows))).detach()) for t in (plain, noisy))
    assert alone == other


def test_noise_is_scaled_by_the_length_of_each_sample_and_not_of_the_row():
    """A sample of 4 tokens and one of 16, embeddings of 4: bounds 8/sqrt(16) = 2 and 8/sqrt(64) = 1."""
    import torch

    from sfttrain.ways.noise import add_noise

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(3, 4)

        def get_input_embeddings(self) -> Any:
            return self.table

        def forward(self, input_ids: Any, position_ids: Any = None) -> Any:
            return self.table(input_ids)

    torch.manual_seed(0)
    model = Model()
    torch.nn.init.zeros_(model.table.weight)
    add_noise(model, 8.0)
    positions = torch.tensor([[*range(4), *range(16)]])
    ids = torch.zeros(1, 20, dtype=torch.long)
    drawn = (
        torch.stack([model(input_ids=ids, position_ids=positions)[0].detach() for _ in range(200)]).abs().amax((0, 2))
    )
    assert float(drawn[:4].max()) == pytest.approx(2, rel=0.02) and float(drawn[4:].max()) == pytest.approx(1, rel=0.02)
    model.eval()
    assert float(model(input_ids=ids, position_ids=positions).detach().abs().max()) == 0


def test_residual_dropout_is_active(trainer_of: Callable[..., Any], gpt2: str):
    trainer = trainer_of(model=gpt2, dropout={"residual": 0.2, "attention": 0.0, "embedding": 0.0})
    block = trainer.model.transformer.h[0]
    assert (block.attn.resid_dropout.p, block.mlp.dropout.p) == (0.2, 0.2)
    assert (block.attn.attn_dropout.p, trainer.model.transformer.drop.p) == (0.0, 0.0)
    first, second = losses_in_training(trainer)
    assert first != second


def test_attention_dropout_of_a_llama_is_active(trainer_of: Callable[..., Any]):
    first, second = losses_in_training(trainer_of(dropout={"attention": 0.3}))
    assert first != second


def test_a_dropout_that_the_model_does_not_have_is_refused_by_name(settings: Settings):
    with pytest.raises(
        ConfigError, match=r"dropout\.residual: LlamaConfig has no residual dropout.*set dropout.residual=0"
    ):
        sfttrain.run(settings(dropout={"residual": 0.2}))


def test_the_preset_of_instructgpt_trains_a_model_with_residual_dropout(trainer_of: Callable[..., Any], gpt2: str):
    trainer = trainer_of(model=gpt2, preset="instructgpt", max_steps=40)
    args = trainer.args
    assert (args.max_steps, args.warmup_steps) == (40, 0)
    assert (args.lr_scheduler_type.value, args.lr_scheduler_kwargs) == ("cosine_with_min_lr", {"min_lr_rate": 0.1})
    assert trainer.model.transformer.h[1].mlp.dropout.p == 0.2


def test_the_preset_of_lora_adapts_every_linear_layer(trainer_of: Callable[..., Any]):
    trainer = trainer_of(preset="lora")
    adapted = {
        name.split(".lora_A")[0].rpartition(".")[2] for name, _ in trainer.model.named_parameters() if "lora_A" in name
    }
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert trainer.args.lr_scheduler_type.value == "constant_with_warmup"


def test_dora_has_a_length_for_each_weight_vector(trainer_of: Callable[..., Any]):
    trainer = trainer_of(lora={"dora": True})
    trained = [name for name, one in trainer.model.named_parameters() if one.requires_grad]
    assert any("lora_magnitude_vector" in name for name in trained)


@pytest.mark.parametrize(
    ("settings_of_lora", "scale"),
    [
        ({"r": 16}, 2.0),
        ({"r": 16, "alpha": 8}, 0.5),
        ({"r": 16, "rslora": True}, 2.0),  # 8 / sqrt(16)
        ({"r": 64, "rslora": True}, 1.0),
        ({"r": 4, "alpha": 8, "rslora": True}, 4.0),
    ],
)
def test_the_scale_of_an_adapter(trainer_of: Callable[..., Any], settings_of_lora: dict[str, Any], scale: float):
    trainer = trainer_of(lora=settings_of_lora)
    layer = trainer.model.base_model.model.model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == scale


def test_activations_are_computed_twice_where_it_is_set(trainer_of: Callable[..., Any]):
    assert trainer_of(activation_checkpointing="on").args.gradient_checkpointing
    assert not trainer_of(activation_checkpointing="off").args.gradient_checkpointing
    assert parse_config({"shards": "s", "model": "m", "out": "o", "activation_checkpointing": True}) == parse_config(
        {"shards": "s", "model": "m", "out": "o", "activation_checkpointing": "on"}
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora": {"quantize": "nf4"}}, "lora.quantize=nf4: 4-bit weights need a GPU, and there is none"),
        ({"liger": True}, "liger=true: Liger's kernels need a GPU, and there is none"),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(settings: Settings, changes: dict[str, Any], message: str):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match=message):
        sfttrain.run(settings(**changes))


def test_on_a_gpu_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    import torch

    from sfttrain import hardware

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="need the package bitsandbytes, which is not installed"):
        hardware.check_ways(quantize=True, liger=False)
    with pytest.raises(ConfigError, match="`pip install liger-kernel`"):
        hardware.check_ways(quantize=False, liger=True)
    monkeypatch.setattr(hardware, "find_spec", lambda name: object())
    hardware.check_ways(quantize=True, liger=True)


def test_four_bits_are_those_of_the_qlora_paper():
    made = four_bits()
    assert (made.load_in_4bit, made.bnb_4bit_quant_type, made.bnb_4bit_use_double_quant) == (True, "nf4", True)


def test_without_an_adapter_there_is_no_peft_config():
    assert lora_config(None) is None
    assert LoraSettings(r=8).scale_alpha == 16
