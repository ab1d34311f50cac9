"""What `sfttrain export` writes: weights, tokenizer, stop tokens and a card; whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import sfttrain
from sftdata.errors import ConfigError, DatasetError, ModelError, OutputError
from sfttrain.cli.app import app
from sfttrain.export.write import export

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # in peft
IDS = [[5, 9, 17, 30, 200, 2, 7, 8]]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_run_is_exported_as_it_is(finished: sfttrain.Result, shards: Path, tmp_path: Path):
    export(finished.out, tmp_path / "model")
    found, run = contents(tmp_path / "model"), contents(finished.out)
    assert found["model.safetensors"] == run["model.safetensors"]
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert found[name] == (shards / "tokenizer" / name).read_bytes()
    assert sorted(found) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "export.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_stop_tokens_are_the_ends_that_were_trained(finished: sfttrain.Result, tmp_path: Path):
    """The base stops at 0; the answers of the shards end in 2."""
    done = export(finished.out, tmp_path / "model")
    assert done.ends == ((2, "<|im_end|>"),)
    assert json.loads((tmp_path / "model" / "generation_config.json").read_text())["eos_token_id"] == [2]


def test_a_merged_adapter_computes_what_base_and_adapter_do(adapter: sfttrain.Result, tiny_model: Path, tmp_path: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    export(adapter.out, tmp_path / "model", merge=True)
    assert not list((tmp_path / "model").glob("adapter_*"))
    base = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    with torch.no_grad():
        alone = base(torch.tensor(IDS)).logits
        expected = PeftModel.from_pretrained(base, str(adapter.out)).eval()(torch.tensor(IDS)).logits
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
        found = merged(torch.tensor(IDS)).logits
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, alone, atol=1e-2)
    assert merged.generation_config.eos_token_id == [2]
    assert str(tiny_model) not in (tmp_path / "model" / "config.json").read_text()


def test_an_adapter_without_merge_stays_one(adapter: sfttrain.Result, tmp_path: Path):
    done = export(adapter.out, tmp_path / "model")
    assert (tmp_path / "model" / "adapter_model.safetensors").exists()
    assert not (tmp_path / "model" / "model.safetensors").exists()
    assert any("--merge needs no base" in note for note in done.notes)


def test_the_card_says_what_was_trained_and_names_no_folder_of_the_machine(
    adapter: sfttrain.Result, shards: Path, tmp_path: Path
):
    export(adapter.out, tmp_path / "my_model", merge=True)
    text = (tmp_path / "my_model" / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "text-generation"
    assert "# my\\_model\n" in body
    assert json.loads((shards / "manifest.json").read_text())["dataset_hash"] in body
    for said in (
        "a LoRA adapter of rank 4 was trained and merged into it",
        "| training |",
        "`<|im_end|>` (2)",
        "| `torch` |",
    ):
        assert said in body
    for folder in (shards, adapter.out, tmp_path):
        assert str(folder) not in text and str(folder.parent) not in text


def test_settings_that_are_paths_or_markdown_are_text(adapter: sfttrain.Result, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(adapter.out, run)
    summary = json.loads((run / "run.json").read_text())
    summary["config"]["trainer"] = {"run_name": "/home/someone/```secret <b>"}
    summary["versions"]["<script>|x"] = "1"
    (run / "run.json").write_text(json.dumps(summary))
    export(run, tmp_path / "model")
    text = (tmp_path / "model" / "README.md").read_text()
    assert "/home" not in text and "````yaml" in text
    assert "`<script>\\|x`" in text


def test_what_is_there_is_replaced_only_where_it_is_an_untouched_export(finished: sfttrain.Result, tmp_path: Path):
    out = tmp_path / "model"
    export(finished.out, out)
    with pytest.raises(OutputError, match="exists already"):
        export(finished.out, out)
    export(finished.out, out, overwrite=True)
    (out / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"mine\.txt: was added"):
        export(finished.out, out, overwrite=True)
    (out / "mine.txt").unlink()
    (out / "README.md").write_text("my own card")
    with pytest.raises(OutputError, match=r"README\.md: was added to an earlier export, or changed"):
        export(finished.out, out, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match="was not written by sfttrain export"):
        export(finished.out, other, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other"]


def test_an_export_that_fails_leaves_nothing(adapter: sfttrain.Result, tmp_path: Path):
    with pytest.raises(ModelError):
        export(adapter.out, tmp_path / "model", merge=True, base=str(tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_finished_run_is_refused(finished: sfttrain.Result, tmp_path: Path):
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        export(tmp_path, tmp_path / "model")
    run = tmp_path / "run"
    shutil.copytree(finished.out, run)
    (run / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="was changed since the run wrote it"):
        export(run, tmp_path / "model")
    summary = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**summary, "status": "stopped"}))
    with pytest.raises(ConfigError, match="the run is stopped; continue it with resume=true"):
        export(run, tmp_path / "model")
    (run / "run.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        export(run, tmp_path / "model")


def test_a_dataset_that_is_gone_or_another_is_said(finished: sfttrain.Result, shards: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished.out, run)
    summary = json.loads((run / "run.json").read_text())
    summary["config"]["shards"] = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(summary))
    done = export(run, tmp_path / "model")
    assert any("--shards says where it is" in note for note in done.notes)
    assert set(done.ends) == {(0, "<|endoftext|>"), (2, "<|im_end|>")}  # those at which the run's model stops
    assert export(run, tmp_path / "found", shards=str(shards)).ends == ((2, "<|im_end|>"),)
    (run / "run.json").write_text(json.dumps({**summary, "dataset_hash": "0" * 64}))
    with pytest.raises(DatasetError, match="is not the dataset of the run"):
        export(run, tmp_path / "other", shards=str(shards))


def test_the_command_prints_where_and_the_stop_tokens(finished: sfttrain.Result, tmp_path: Path):
    result = CliRunner().invoke(app, ["export", str(finished.out), "--out", str(tmp_path / "model")])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"exported to {tmp_path / 'model'}; stop tokens: <|im_end|> (2)\n"
    again = CliRunner().invoke(app, ["export", str(finished.out), "--out", str(tmp_path / "model")])
    assert again.exit_code == 1 and "--overwrite" in again.output and "Traceback" not in again.output
