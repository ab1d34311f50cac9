"""Names that are no settings: the message names the right one, and the line that it shows can be pasted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import sftdata.cli.app
import sfttrain.cli.app
import sfttrain.config
from sftdata.config import Config, load_config, parse_config
from sftdata.errors import ConfigError
from sftdata.settings.other_names import PREPARE_NAMES
from sftdata.settings.yaml_line import flow
from sfttrain.trainer.other_names import TRAIN_NAMES

# Setting -> a value under the name of another tool, and what the config has to hold once the line is pasted.
PREPARE_VALUES: dict[str, tuple[Any, Any]] = {
    "pack.seq_len": (4096, 4096),
    "pack.strategy": (False, "none"),
    "tokenizer": ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
    "sources": (["chats.jsonl"], "chats.jsonl"),
    "out": ("shards", "shards"),
    "out.shard_tokens": (1_000_000, 1_000_000),
    "template": ("qwen3", "qwen3"),
    "stop_tokens": (["<|im_end|>"], ("<|im_end|>",)),
    "seed": (42, 42),
    "split.validation": (0.1, 0.1),
    "train_on": (True, "last"),
    "overlong": (True, "truncate"),
    "thinking": (False, "off"),
    "chat_template_kwargs": ({"add_today": True}, {"add_today": True}),
    "reasoning": (True, "drop"),
    "sources.system": ("Be brief.", "Be brief."),
    "sources.format": ("alpaca", "alpaca"),
    "sources.columns": ({"prompt": "question"}, {"prompt": "question"}),
    "sources.roles": ({"customer": "user"}, {"customer": "user"}),
    "sources.split": ("test", "test"),
    "sources.subset": ("en", "en"),
    "sources.max_records": (500, 500),
    "sources.repeat": (2, 2),
    "sources.weight": (0.5, 0.5),
    "sources.keep": (["user_id"], ("user_id",)),
    "dedup.exact": (False, False),
    "dedup.near": ({}, 0.8),
    "dedup.near.threshold": (0.7, 0.7),
    "dedup.near.shingle_words": (5, 5),
    "dedup.semantic": ({"model": "models/minilm"}, "models/minilm"),
    "decontaminate.against": (["exam.jsonl"], "exam.jsonl"),
    "filters": (True, "default"),
    "privacy": (True, "redact"),
    "filters.min_answer_chars": (20, 20),
    "filters.max_answer_chars": (2000, 2000),
    "filters.languages": (["en"], ("en",)),
    "max_turns": (50, 50),
}
# Names whose values are called otherwise, beside those above.
TRANSLATED = {
    "packing_strategy": ("bfd", "best_fit"),
    "truncation_mode": ("keep_start", "truncate"),
    "truncation_strategy": ("delete", "drop"),
    "excess_length_strategy": ("raise", "drop"),
    "long_sequences": ("delete", "drop"),
    "overflow": ("keep_end", "split"),
    "type": ("chat_template", "messages"),
    "dataset_type": ("completion", "text"),
}
IN_COLUMNS = {"text": "body", "prompt": "question", "completion": "answer", "messages": "turns"}
TRAIN_VALUES: dict[str, tuple[Any, Any]] = {
    "learning_rate": (0.001, 0.001),
    "epochs": (3, 3.0),
    "max_steps": (100, 100),
    "batch_tokens": (65_536, 65_536),
    "schedule": ("linear", "linear"),
    "warmup": (0.1, 0.1),
    "out": ("trained", "trained"),
    "model": ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
    "shards": ("prepared", "prepared"),
    "lora.r": (8, 8),
    "lora.alpha": (32, 32),
    "lora.dropout": (0.05, 0.05),
    "lora.target_modules": ("all", "all-linear"),
    "lora": ("lora", 16),
    "seed": (42, 42),
    "eval_every": (50, 50),
    "save_every": (50, 50),
    "attn_implementation": (True, "flash_attention_2"),
    "dtype": ("bf16", "bfloat16"),
    "resume": (True, True),
    "overwrite": (True, True),
    "lora.rslora": (True, True),
    "lora.dora": (True, True),
    "lora.quantize": (4, "nf4"),
    "neftune": (5, 5.0),
    "activation_checkpointing": (True, "on"),
    "liger": (True, True),
    "dropout.residual": (0.1, 0.1),
    "dropout.attention": (0.1, 0.1),
    "dropout.embedding": (0.1, 0.1),
    "preset": ("lora", "lora"),
    "final_rate": (0.1, 0.1),
    "log_to": (["tensorboard"], ("tensorboard",)),
}
PREPARE_BASE = {"tokenizer": "t", "sources": ["a.jsonl"], "out": "o"}
TRAIN_BASE = {"shards": "s", "model": "m", "out": "o"}


def values_of(config: Any, dotted: str) -> Any:
    """What a config holds; of a list of groups its first entry, of a group what names it."""
    for part in dotted.split("."):
        config = getattr(config, part)
        config = config[0] if isinstance(config, tuple) and config and not isinstance(config[0], str) else config
    for name in ("path", "model", "preset", "mode", "threshold", "r"):
        config = getattr(config, name, config)
    return config


def message(settings: dict[str, Any], path: Path) -> str:
    """The error for these settings in a file."""
    path.write_text("".join(f"{key}: {flow(value)}\n" for key, value in settings.items()), encoding="utf-8")
    load = load_config if "tokenizer" in settings or "sources" in settings else sfttrain.config.load_config
    with pytest.raises(ConfigError) as error:
        load(path)
    return str(error.value)


def pasted(settings: dict[str, Any], key: str, said: str) -> tuple[dict[str, Any], list[str]]:
    """The settings with the line for the file in place of the wrong one, and what to add to the command."""
    found = re.search(
        r" write `(.*?)`(?: in place of (\w+))?(?: in its place)?(?:, or `(.*)` on the command line)?", said
    )
    assert found is not None, said
    line, instead, on_line = found.groups()
    kept = {name: value for name, value in settings.items() if name not in (key, instead)}
    new = yaml.safe_load(line)
    assert not kept.keys() & new.keys(), said
    return {**kept, **new}, shlex.split(on_line or "")


def check(key: str, given: Any, setting: str, expected: Any, base: dict[str, Any], load: Any, path: Path) -> None:
    """Paste what the message says, into the file and behind the command."""
    settings = {**{name: value for name, value in base.items() if name != setting}, key: given}
    said = message(settings, path) if setting not in base else message({**settings}, path)
    assert f"{key} is not a setting; it is called {setting} here" in said
    new, overrides = pasted(settings, key, said)
    path.write_text(yaml.safe_dump(new), encoding="utf-8")
    assert values_of(load(path), setting) == expected
    assert overrides, said
    path.write_text(yaml.safe_dump({name: value for name, value in settings.items() if name != key}), encoding="utf-8")
    assert values_of(load(path, overrides), setting) == expected


def relative(load: Any) -> Any:
    """A loader whose config has paths as they are in the file, which those of training are not."""

    def loaded(path: Path, overrides: tuple[str, ...] = ()) -> Any:
        return load(yaml.safe_load(path.read_text(encoding="utf-8")), overrides)

    return loaded


@pytest.mark.parametrize("name", [name for name, other in PREPARE_NAMES.items() if other.setting])
def test_a_name_of_another_tool_is_refused_with_a_line_that_can_be_pasted(name: str, tmp_path: Path) -> None:
    other = PREPARE_NAMES[name]
    given, expected = TRANSLATED.get(name, PREPARE_VALUES[other.setting])
    if other.inside:
        given, expected = IN_COLUMNS[other.inside], {other.inside: IN_COLUMNS[other.inside]}
    check(name, given, other.setting, expected, PREPARE_BASE, load_config, tmp_path / "prepare.yaml")


@pytest.mark.parametrize("name", [name for name, other in TRAIN_NAMES.items() if other.setting and not other.inside])
def test_so_is_one_for_training(name: str, tmp_path: Path) -> None:
    given, expected = TRAIN_VALUES[TRAIN_NAMES[name].setting]
    given, expected = {"bf16": (True, "bfloat16"), "bfloat16": (False, "float32")}.get(name, (given, expected))
    load = relative(sfttrain.config.parse_config)
    check(name, given, TRAIN_NAMES[name].setting, expected, TRAIN_BASE, load, tmp_path / "train.yaml")


def test_a_field_of_trl_goes_under_trainer_beside_what_is_there(tmp_path: Path) -> None:
    settings = {**TRAIN_BASE, "trainer": {"optim": "adamw_torch"}, "weight_decay": 0.1}
    new, overrides = pasted(settings, "weight_decay", message(settings, tmp_path / "train.yaml"))
    assert new == {**TRAIN_BASE, "trainer": {"optim": "adamw_torch", "weight_decay": 0.1}}
    assert overrides == ["trainer.weight_decay=0.1"]
    free = [name for name, other in TRAIN_NAMES.items() if other.inside]
    assert all(TRAIN_NAMES[name].setting == "trainer" and TRAIN_NAMES[name].inside == name for name in free)


def test_every_name_leads_to_a_setting_and_none_is_a_setting_itself() -> None:
    from sftdata.settings.catalog import settings_of

    for table, root in ((PREPARE_NAMES, Config), (TRAIN_NAMES, sfttrain.config.TrainConfig)):
        keys = {setting.key for setting in settings_of(root)}
        assert {other.setting for other in table.values()} - keys == {""}
        assert {name for name in table if name in keys} == set()
        assert all(other.setting or other.option or other.instead for other in table.values())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"num_proc": 4},
            "num_proc is not a setting; it is an option of the command: remove it, and add `--workers 4`",
        ),
        ({"overwrite": True}, "it is an option of the command: remove it, and add `--overwrite`"),
        ({"overwrite": False}, "overwrite is not a setting; remove it"),
        ({"lr": 1e-4}, "lr is not a setting; it belongs to training: give `sfttrain run` learning_rate"),
        (
            {"train_on_inputs": True},
            "train_on_inputs is not a setting; remove it: answers are trained, and prompts never",
        ),
        (
            {"shuffle": True},
            "shuffle is not a setting; remove it: rows are always in an order that only the seed decides",
        ),
        ({"threshold": 0.7}, "did you mean dedup.near.threshold or dedup.semantic.threshold?"),
        (
            {"model": "x"},
            "model is not a setting; it is called tokenizer here, which is given too: remove one of the two",
        ),
        ({"zzz": 1}, "zzz is not a setting; `sftdata settings` lists all settings"),
        ({"pack": {"zzz": 1}}, "pack.zzz is not a setting; the settings here are seq_len, strategy"),
        ({"sources": ["a", "b"], "max_samples": 5}, "write `max_records: 5` into the entry of sources that it is for"),
        ({"pack.seq_len": 64}, "names with dots are for the command line: write `pack: {seq_len: 64}`"),
        ({"pack": 4096}, "pack is a group of settings, not one value: write `pack: {seq_len: 4096}`"),
        ({"split": 0.1}, "split is a group of settings, not one value: write `split: {validation: 0.1}`"),
        (
            {"dedup": True},
            "dedup is a group of settings, not one value (got True): exact, near, prefix, semantic, caps",
        ),
        ({"seed": True}, "seed must be a number (got true, which is how YAML reads yes and on)"),
        ({"sources": [{"path": "a", "repeat": False}]}, "sources.0.repeat must be a number (got false, which is how"),
        ({"split": {"validation": True}}, "split.validation must be a number (got true"),
    ],
)
def test_what_else_is_said(settings: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    assert sentence in message({**PREPARE_BASE, **settings}, tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("settings", "key", "named", "dotted", "expected"),
    [
        ({"seq_len": 64}, "seq_len", "pack.seq_len", "pack.seq_len", 64),
        ({"near": {"threshold": 0.7}}, "near", "dedup.near", "dedup.near.threshold", 0.7),
        ({"Seed": 3}, "Seed", "seed", "seed", 3),
        ({"max_lenght": 64}, "max_lenght", "pack.seq_len", "pack.seq_len", 64),
        ({"packing": {"seq_len": 64}}, "packing", "pack", "pack.seq_len", 64),
        ({"languages": ["en"], "filters": "strict"}, "languages", "filters.languages", "filters.languages", ("en",)),
        ({"system": "Hi", "sources": "a.jsonl"}, "system", "sources.0.system", "sources.system", "Hi"),
        ({"roles": {"x": "user"}}, "roles", "sources.0.roles", "sources.roles", {"x": "user"}),
        ({"strategy": "none", "pack": {"seq_len": 64}}, "strategy", "pack.strategy", "pack.seq_len", 64),
    ],
)
def test_a_setting_is_found_by_its_last_part_and_with_a_mistake_in_it(
    settings: dict[str, Any], key: str, named: str, dotted: str, expected: Any, tmp_path: Path
) -> None:
    said = message({**PREPARE_BASE, **settings}, tmp_path / "c.yaml")
    assert f"{key} is not a setting; did you mean {named}?" in said
    new, _ = pasted({**PREPARE_BASE, **settings}, key, said)
    assert values_of(parse_config(new), dotted) == expected


@pytest.mark.parametrize(
    ("group", "said", "instead"),
    [
        ({"pack": {"max_length": 64}}, "pack.max_length is not a setting; it is called pack.seq_len", "seq_len: 64"),
        ({"pack": {"seqlen": 64}}, "pack.seqlen is not a setting; did you mean pack.seq_len?", "seq_len: 64"),
        (
            {"sources": ["b", {"path": "a", "system_prompt": "Hi"}]},
            "sources.1.system_prompt is not a setting; it is called sources.system",
            "system: Hi",
        ),
    ],
)
def test_a_wrong_name_inside_a_group_is_replaced_there(
    group: dict[str, Any], said: str, instead: str, tmp_path: Path
) -> None:
    found = message({**PREPARE_BASE, **group}, tmp_path / "c.yaml")
    assert said in found
    assert f" write `{instead}` in its place" in found


def test_on_the_command_line_the_setting_is_shown_as_it_is_written_there() -> None:
    with pytest.raises(ConfigError, match=r"it is called pack\.seq_len here: write `pack\.seq_len=64`$"):
        parse_config({**PREPARE_BASE, "max_length": 64}, "command line")


def test_rows_and_objects_of_python_are_not_written_out() -> None:
    rows = [{"prompt": "a", "completion": "b"}] * 1000
    with pytest.raises(ConfigError) as error:
        parse_config({**PREPARE_BASE, "sources": [{"rows": rows}], "system_prompt": "Hi"})
    assert str(error.value).endswith("it is called sources.system here: write `system: Hi` into sources")
    with pytest.raises(ConfigError, match=r"dataset is not a setting; it is called sources here$"):
        parse_config({"tokenizer": "t", "out": "o", "dataset": object()})


@pytest.mark.parametrize(
    ("program", "option", "advice"),
    [
        ("sftdata", "--max-length", "settings have no dashes: write pack.seq_len=VALUE"),
        ("sftdata", "--cutoff_len", "settings have no dashes: write pack.seq_len=VALUE"),
        ("sftdata", "--split.validation", "settings have no dashes: write split.validation=VALUE"),
        ("sftdata", "--seed", "settings have no dashes: write seed=VALUE"),
        ("sftdata", "--system-prompt", "settings have no dashes: write sources.0.system=VALUE"),
        ("sftdata", "--prompt-column", "settings have no dashes: write sources.0.columns.prompt=VALUE"),
        ("sftdata", "--num-proc", "it is --workers here"),
        ("sftdata", "--lr", "it belongs to training: give `sfttrain run` learning_rate"),
        ("sfttrain", "--lr", "settings have no dashes: write learning_rate=VALUE"),
        ("sfttrain", "--max-steps", "settings have no dashes: write max_steps=VALUE"),
        ("sfttrain", "--lora-r", "settings have no dashes: write lora.r=VALUE"),
        ("sfttrain", "--weight_decay", "settings have no dashes: write trainer.weight_decay=VALUE"),
    ],
)
def test_a_setting_that_is_written_as_an_option_is_named(program: str, option: str, advice: str) -> None:
    command, app = ("prepare", sftdata.cli.app.app) if program == "sftdata" else ("run", sfttrain.cli.app.app)
    result = CliRunner().invoke(app, [command, "a.jsonl", option, "4"], prog_name=program)
    said = f"{program}: no such option: {option}; {advice}; see {program} {command} --help\n"
    assert (result.exit_code, result.stderr) == (1, said)


def test_an_option_that_is_no_setting_gets_the_options_that_are_like_it() -> None:
    result = CliRunner().invoke(sftdata.cli.app.app, ["prepare", "a.jsonl", "--sequence", "4"], prog_name="sftdata")
    assert "no such option: --sequence (Possible options: " in result.stderr
    assert "VALUE" not in result.stderr
