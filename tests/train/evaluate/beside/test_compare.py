"""`sfttrain eval`: figures, answers and checks of a run beside its base, as JSON, as a page, and by the exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import sfttrain
from sfttrain.cli.app import app

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # in peft
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(chats: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA run with prompts and checks in its settings."""
    folder = tmp_path_factory.mktemp("run")
    rows = [{"prompt": f"Hi {EVIL}", "completion": "Héllo 0"}, {"prompt": "Who?", "completion": "Me"}]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checks = [{"name": "any", "regex": "", "at_least": 1.0}, {"name": "right", "exact": "reference"}]
    evaluate = {"prompts": str(folder / "prompts.jsonl"), "max_new_tokens": 3, "checks": checks}
    settings = {"shards": str(chats), "model": str(tiny_model), "out": str(folder / "out"), "batch_tokens": 512}
    settings["dtype"] = "float32"
    sfttrain.run({**settings, "max_steps": 2, "lora": True, "learning_rate": 1e-2, "evaluate": evaluate})
    return folder / "out"


def evaluated(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)])


def test_a_run_and_its_base_have_the_figures_that_the_run_wrote(run: Path, tiny_model: Path, tmp_path: Path):
    done = evaluated(run, "--against", tiny_model, "--out", tmp_path / "eval.html", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    summary = json.loads((run / "run.json").read_text())
    assert found["ok"] is True
    for judged, written in zip(found["models"], ("first", "last"), strict=True):
        expected = summary["validation"][written]
        assert judged["figures"]["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert judged["figures"]["accuracy"] == pytest.approx(expected["accuracy"])
        for name, figures in expected["turns"].items():
            assert judged["figures"]["turns"][name]["bits_per_byte"] == pytest.approx(
                figures["bits_per_byte"], rel=1e-5
            )
    answers = [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]
    told = [one["answer"] for judged in found["models"] for one in judged["answers"]]
    assert told == [line["answer"] for line in answers]


def test_the_page_shows_answers_side_by_side_and_data_stays_text(run: Path, tiny_model: Path, tmp_path: Path):
    page = tmp_path / "eval.html"
    assert evaluated(run, "--against", tiny_model, "--out", page).exit_code == 0
    text = page.read_text()
    assert "Content-Security-Policy" in text
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    assert str(tmp_path) not in text and str(run.parent) not in text
    assert "<b>before</b>" in text and "<b>after</b>" in text
    first = page.read_bytes()
    assert evaluated(run, "--against", tiny_model, "--out", page).exit_code == 0
    assert page.read_bytes() == first


def test_a_model_whose_loss_is_no_number_is_refused(chats: Path, tiny_model: Path, tmp_path: Path):
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny_model)
    torch.nn.init.constant_(model.model.norm.weight, float("nan"))
    model.save_pretrained(tmp_path / "model")
    done = evaluated(tmp_path / "model", "--shards", chats, "--out", tmp_path / "eval.html", "--json")
    assert done.exit_code == 1
    assert "has a loss of nan on these samples; set --dtype float32" in json.loads(done.stdout)["error"]
    assert not (tmp_path / "eval.html").exists()


def test_a_missed_bar_is_the_exit_code(run: Path, chats: Path, tmp_path: Path):
    config = tmp_path / "bars.yaml"
    checks = "[{name: numbers, regex: '^[0-9]+$', at_least: 0.6}]"
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Who?"}\n')
    config.write_text(
        f"shards: {chats}\nmodel: {run}\nout: out\n"
        f"evaluate: {{prompts: prompts.jsonl, max_new_tokens: 1, checks: {checks}}}\n"
    )
    done = evaluated(run, "--config", config, "--out", tmp_path / "eval.html")
    assert done.exit_code == 1
    assert "a bar is missed: numbers: 0 of 1 answers pass (0.00, at least 0.60)" in done.stderr.replace("\n", " ")
    assert "Missed: numbers" in (tmp_path / "eval.html").read_text()


def test_a_file_of_somebody_else_is_not_replaced(run: Path, tmp_path: Path):
    (tmp_path / "mine.html").write_text("mine")
    done = evaluated(run, "--out", tmp_path / "mine.html")
    assert done.exit_code == 1
    assert "was not written by `sfttrain eval`" in done.stderr.replace("\n", " ")
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_a_page_that_was_edited_is_kept_and_nothing_is_computed_before_that_is_said(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = tmp_path / "eval.html"
    assert evaluated(run, "--out", page).exit_code == 0
    edited = page.read_bytes().replace(b"</main>", b"<p>a note of mine</p></main>")
    page.write_bytes(edited)
    with monkeypatch.context() as context:
        context.setattr("sfttrain.evaluate.beside.compare.compare", None)
        done = evaluated(run, "--out", page)
    assert done.exit_code == 1
    assert f"{page}: was not written by `sfttrain eval`, or has changed since, so it is kept" in done.stderr.replace(
        "\n", " "
    )
    assert page.read_bytes() == edited
    assert evaluated(run, "--out", page, "--overwrite").exit_code == 0
    assert b"a note of mine" not in page.read_bytes()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("{run}/run.json", "lies in the folder of a model, which has eval.html for it"),
        ("{run}/checkpoint-2/eval.html", "lies in the folder of a model"),
        ("{shards}/eval.html", "lies in the folder of the dataset"),
        ("{tmp}", "is a folder"),
        ("{run}/report.html", "lies in the folder of a model"),
    ],
)
def test_a_page_goes_neither_over_files_of_a_model_nor_into_the_dataset(
    run: Path, chats: Path, tmp_path: Path, place: str, said: str
):
    out = place.format(run=run, shards=chats, tmp=tmp_path)
    before = Path(run, "run.json").read_bytes()
    done = evaluated(run, "--out", out, "--overwrite")
    assert done.exit_code == 1
    assert said in done.stderr.replace("\n", " ")
    assert Path(run, "run.json").read_bytes() == before


def test_the_page_of_another_command_is_kept(run: Path, tmp_path: Path):
    (tmp_path / "page.html").write_bytes((run / "report.html").read_bytes())
    done = evaluated(run, "--out", tmp_path / "page.html")
    assert done.exit_code == 1
    assert "was not written by `sfttrain eval`" in done.stderr.replace("\n", " ")


def test_a_model_that_is_no_run_needs_shards(tiny_model: Path, tmp_path: Path):
    done = evaluated(tiny_model, "--out", tmp_path / "eval.html")
    assert done.exit_code == 1
    assert "give them with --shards" in done.stderr.replace("\n", " ")


# What `simple_evaluate` of lm-eval 0.4.13 returns for a task with two filters, a group of two tasks, and a metric
# without a standard error: see its docs/python-api.md and lm_eval/result_schema.py.
RESULTS = """
{
  "results": {
    "gsm8k": {
      "alias": "gsm8k", "name": "gsm8k", "sample_len": 1319,
      "exact_match,strict-match": %s, "exact_match_stderr,strict-match": 0.0125,
      "exact_match,flexible-extract": 0.375, "exact_match_stderr,flexible-extract": "N/A"
    },
    "arc": {
      "alias": "arc", "name": "arc", "sample_len": 3548, "sample_count": {"acc,none": 3548},
      "acc,none": 0.5, "acc_stderr,none": 0.0084
    },
    "arc_easy": {"alias": " - arc_easy", "name": "arc_easy", "sample_len": 2376, "acc,none": 0.5625},
    "broken": {"alias": "broken", "name": "broken", "sample_len": 0, "acc,none": NaN, "acc_stderr,none": "N/A"}
  },
  "groups": {"arc": {"alias": "arc", "name": "arc", "sample_len": 3548, "acc,none": 0.5}},
  "group_subtasks": {"arc": ["arc_easy", "arc_challenge"]},
  "configs": {}, "versions": {"gsm8k": 3.0}, "n-shot": {"gsm8k": 5}, "higher_is_better": {"arc": {"acc": true}},
  "n-samples": {"gsm8k": {"original": 1319, "effective": 1319}}, "config": {"model": "hf"}, "date": 1.0
}
"""
STAND_IN = """
import json, pathlib
calls = []
def simple_evaluate(model, model_args, tasks, device, log_samples):
    calls.append((model, model_args, tasks, device, log_samples))
    if tasks == ["nonsense"]:
        raise KeyError("Unknown task: nonsense")
    folder = pathlib.Path(__file__).parent
    (folder / "calls.json").write_text(json.dumps(calls))
    return json.loads((folder / f"{len(calls)}.json").read_text())
"""


@pytest.fixture
def lm_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name, which returns recorded results for the first model and the second."""
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "lm_eval.py").write_text(STAND_IN)
    for number, share in enumerate(("0.125", "0.25"), start=1):
        (folder / f"{number}.json").write_text(RESULTS % share)
    monkeypatch.delitem(sys.modules, "lm_eval", raising=False)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_tasks_of_lm_eval_are_figures_before_and_after(run: Path, tiny_model: Path, lm_eval: Path, tmp_path: Path):
    arguments = (run, "--against", tiny_model, "--out", tmp_path / "eval.html", "--lm-eval", "gsm8k, arc")
    done = evaluated(*arguments, "--json")
    assert done.exit_code == 0, done.output
    names = ("task", "metric", "filter", "values", "stderr", "samples")
    assert [tuple(one[name] for name in names) for one in json.loads(done.stdout)["lm_eval"]] == [
        ("gsm8k", "exact_match", "strict-match", [0.125, 0.25], [0.0125, 0.0125], 1319),
        ("gsm8k", "exact_match", "flexible-extract", [0.375, 0.375], [None, None], 1319),
        ("arc", "acc", "none", [0.5, 0.5], [0.0084, 0.0084], 3548),
        ("arc_easy", "acc", "none", [0.5625, 0.5625], [None, None], 2376),
    ]
    shared = {"dtype": "float32", "trust_remote_code": False}
    assert json.loads((lm_eval / "calls.json").read_text()) == [
        ["hf", {"pretrained": str(tiny_model), **shared}, ["gsm8k", "arc"], "cpu", False],
        ["hf", {"pretrained": str(tiny_model), "peft": str(run), **shared}, ["gsm8k", "arc"], "cpu", False],
    ]
    page = (tmp_path / "eval.html").read_text()
    assert "Tasks of lm-evaluation-harness" in page
    assert "exact_match (strict-match)" in page


def test_a_task_that_lm_eval_does_not_know_is_refused_and_the_page_is_there(run: Path, lm_eval: Path, tmp_path: Path):
    done = evaluated(run, "--out", tmp_path / "eval.html", "--lm-eval", "nonsense")
    assert done.exit_code == 1
    assert "--lm-eval: Unknown task: nonsense; see `lm_eval ls tasks`" in done.stderr.replace("\n", " ")
    assert (tmp_path / "eval.html").exists()


def test_without_the_package_lm_eval_is_refused_with_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sfttrain.evaluate.beside.harness.find_spec", lambda name: None)
    done = evaluated(run, "--out", tmp_path / "eval.html", "--lm-eval", "arc_easy")
    assert done.exit_code == 1
    assert 'pip install "lm-eval[hf]"' in done.stderr.replace("\n", " ")
    assert not (tmp_path / "eval.html").exists()
