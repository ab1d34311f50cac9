"""The report of a run: where it goes, what is in it, and runs whose files are damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import sfttrain
from sftdata.errors import ConfigError, ModelError, OutputError
from sfttrain.cli.app import app
from sfttrain.report.about import split_settings
from sfttrain.report.curves import trend
from sfttrain.report.log import read_log
from sfttrain.report.names import Names
from sfttrain.report.page import run_page
from sfttrain.report.write import write_report

Settings = Callable[..., dict[str, Any]]


@pytest.fixture
def run(finished: sfttrain.Result, tmp_path: Path) -> Path:
    """The files of a finished run that a report is made from."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("run.json", "metrics.jsonl"):
        shutil.copy(finished.out / name, folder / name)
    return folder


def test_a_run_writes_its_report_and_the_same_files_give_the_same_bytes(finished: sfttrain.Result, run: Path):
    assert write_report(run) == run / "report.html"
    assert (run / "report.html").read_bytes() == (finished.out / "report.html").read_bytes()


def test_a_report_has_curves_settings_dataset_checks_and_versions(finished: sfttrain.Result):
    page = (finished.out / "report.html").read_text()
    assert page.count('<svg class="chart"') == 7
    for name in ("curves", "validation", "settings", "dataset", "checks", "versions"):
        assert page.count(f'<section id="{name}">') == 1
    assert "batch_tokens" in page
    assert finished.summary["dataset_hash"] in page
    assert "one by one" in page
    assert finished.summary["versions"]["torch"] in page
    assert str(finished.out.parent) not in page
    assert " on data</title>" in page


def test_a_run_that_fails_says_so_in_its_report(settings: Settings, tmp_path: Path):
    with pytest.raises(ModelError, match="loss is"):
        sfttrain.run(settings(learning_rate=1e30, max_steps=20, warmup=0, trainer={"max_grad_norm": 0.0}))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "This run failed." in page
    assert "Rows of that step: " in page


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There is no metrics.jsonl, so no step is known."),
        (b"", "Metrics.jsonl is empty: no step was logged yet."),
        (b"\xff\xfe\x00", ""),  # a last line without its end
        (b"nonsense\n[1]\n", "2 lines of metrics.jsonl cannot be read and left out; the first is line 1"),
        (b'{"step": 1, "loss": 2.5}\n{"step": true}\n{"step": 2, "lo', "1 line of metrics.jsonl cannot be read"),
        (b"[" * 100_000 + b"\n", "1 line of metrics.jsonl cannot be read"),
    ],
)
def test_damaged_metrics_give_a_sentence(run: Path, content: bytes | None, said: str):
    (run / "metrics.jsonl").unlink()
    if content is not None:
        (run / "metrics.jsonl").write_bytes(content)
    assert said in write_report(run).read_text()


def test_values_that_are_no_numbers_are_gaps(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "loss": 2.5}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": "x"}\n{"step": 4, "loss": 1e-320}\n'
        f'{{"step": 5, "loss": {"9" * 400}}}\n{{"step": 6}}\n'
    )
    curve = read_log(path).curve("loss")
    assert [step for step, _ in curve] == [1, 2, 3, 4, 5]
    assert [value for _, value in curve if value == value] == [2.5, 0.0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
WORDS = """status config dataset checks preflight versions files error rows parameters trained_parameters learning_rate
seconds tokens resumed_from_step seed world_size counts splits validation step loss validation_loss name what sources
turns accuracy tokens_per_second grad_norm shards model lora"""
NAMES = st.sampled_from(WORDS.split())


@hypothesis_settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON)),
    st.lists(st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON))),
)
def test_any_content_gives_a_page(tmp_path_factory: pytest.TempPathFactory, summary: dict[str, Any], lines: list[Any]):
    path = tmp_path_factory.mktemp("any") / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run_page(summary, read_log(path)).endswith(b"</html>\n")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "does not exist"),
        (lambda folder: folder.write_text("x"), "is not a folder"),
        (lambda folder: folder.mkdir(), "has no run.json, so it is not the folder of a run"),
        (lambda folder: (folder.mkdir(), (folder / "run.json").write_text("{")), "is damaged"),
        (lambda folder: (folder.mkdir(), (folder / "run.json").write_text('{"a": 1}')), "was not written by sfttrain"),
        (lambda folder: (folder.mkdir(), (folder / "run.json").write_text("[" * 100_000)), "is damaged"),
    ],
)
def test_a_folder_of_no_run_is_refused(tmp_path: Path, make: Callable[[Path], Any], said: str):
    make(tmp_path / "run")
    with pytest.raises(ConfigError, match=said):
        write_report(tmp_path / "run")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1


def test_a_file_that_is_no_report_is_kept(run: Path, tmp_path: Path):
    other = tmp_path / "mine.html"
    other.write_text("mine")
    with pytest.raises(OutputError, match="was not written by `sfttrain report`"):
        write_report(run, other)
    assert other.read_text() == "mine"
    assert write_report(run, other, overwrite=True).read_bytes() == write_report(run).read_bytes()
    with pytest.raises(OutputError, match="lies in the folder of the run"):
        write_report(run, run / "run.json", overwrite=True)
    assert CliRunner().invoke(app, ["report", str(run), "-o", str(other)]).output.startswith(f"{other}: 0.0")
    with open(run / "report.html", "a") as file:
        file.write("<!-- a note of mine -->")
    with pytest.raises(OutputError, match="has changed since"):
        write_report(run)


def test_a_run_refuses_a_report_that_is_not_its_own_and_replaces_one_that_is(settings: Settings, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("mine")
    with pytest.raises(OutputError, match=r"report.html: was not written by `sfttrain report`, or has changed since"):
        sfttrain.run(settings())
    (tmp_path / "out" / "report.html").unlink()
    sfttrain.run(settings())
    first = (tmp_path / "out" / "report.html").read_text()
    sfttrain.run(settings(overwrite=True, max_steps=1))
    assert (tmp_path / "out" / "report.html").read_text() != first


def test_settings_that_differ_from_the_defaults_are_told_from_the_others():
    config = sfttrain.TrainConfig(shards="a", model="b", out="c", lora={"r": 8}, seed=0, warmup=0.1)
    changed, others = split_settings(config.model_dump(mode="json"))
    assert [name for name, _ in changed if not name.startswith("lora.")] == ["shards", "model", "out", "warmup"]
    assert ("lora.r", 8) in changed
    assert ("seed", 0) in others


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/data/my shards: is damaged", "my shards: is damaged"),
        ("/srv/a/b.jsonl:12 and ~/c/d.jsonl:3", "b.jsonl:12 and d.jsonl:3"),
        ("1,024 tokens/s at https://host/a/b, 3/4 of it", "1,024 tokens/s at https://host/a/b, 3/4 of it"),
        ("data/chats.jsonl:4", "data/chats.jsonl:4"),
        (r"C:\runs\first\out is full", "out is full"),
    ],
)
def test_a_page_names_no_folder_of_the_machine(text: str, shown: str):
    assert Names({"shards": "/data/my shards", "out": 3}).text(text) == shown


def test_a_trend_is_the_medians_of_twenty_stretches():
    points = [(float(step), 100.0 if step % 4 == 0 else 1.0) for step in range(1, 81)]
    assert trend(points) == [(4.0 * at + 2.5, 1.0) for at in range(20)]
