"""The report of a run in a browser: both themes, a phone, paper, hostile names, and files that are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsing import CONTRASTS

from sfttrain.report.write import write_report

EVIL = "</span></style></script><script>window.pwned=1</script><img id=pwned src=x onerror=window.pwned=1>\"'`\u202e"
CONFIG = {"shards": "/home/me/chats", "model": EVIL, "out": "/home/me/run", "lora": {"r": 16}, "trainer": {EVIL: EVIL}}
SUMMARY = {
    "status": "failed",
    "error": f"step 61: the loss is nan {EVIL}",
    "rows": [f"/home/me/{EVIL}.jsonl:3", "b.jsonl:4"],
    "dataset_hash": "ab" * 32,
    "config": CONFIG,
    "device": EVIL,
    "learning_rate": 2e-4,
    "seed": 0,
    "seconds": 100.0,
    "resumed_from_step": 20,
    "checks": [
        {"name": "tokenizer", "status": "pass", "what": EVIL, "todo": ""},
        {"name": "trained", "status": "warn", "what": "0.5% of tokens", "todo": f"look at /home/me/chats {EVIL}"},
    ],
    "versions": {"python": "3.11", EVIL: EVIL},
    "files": {f"{EVIL}.safetensors": "cd" * 32},
    "dataset": {
        "name": EVIL,
        "seq_len": 2048,
        "counts": {"rows_read": 10, "packed": 8, "dropped": {EVIL: {EVIL: 2}}, "examples": {EVIL: f"{EVIL}:1"}},
        "splits": {EVIL: {"samples": 8, "sequences": 2, "tokens": 4000, "trained_tokens": 900}},
    },
}


def metrics() -> list[dict[str, Any]]:
    """60 steps, and a validation before and after them."""
    steps: list[dict[str, Any]] = [
        {"step": step, "loss": 3 / step, "learning_rate": 1e-4, "grad_norm": 1.0, "tokens_per_second": 900.0}
        for step in range(1, 61)
    ]
    for step, loss in ((0, 3.5), (60, 0.5)):
        figures = {"loss": loss, "accuracy": 0.5, "perplexity": 2.0, "bits_per_byte": loss / 3, "tokens": 70}
        sources = {EVIL: figures, "b.jsonl": figures}
        steps.append({"step": step, "validation_loss": loss, "validation": {**figures, "sources": sources}})
    return steps


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(SUMMARY))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics()))
    return write_report(folder)


def test_nothing_in_a_run_is_run_by_the_page_and_no_folder_is_named(open_page: Any, report: Path) -> None:
    page = open_page(report)
    assert page.evaluate("window.pwned") is None
    assert page.locator("#pwned").count() == 0
    assert page.locator("img").count() == 0
    assert "<script>window.pwned=1" in page.locator("#settings").text_content()
    assert "/home/me" not in page.content()
    assert "\u202e" not in page.locator("body").inner_text()


def test_the_page_has_a_chart_for_each_curve_and_says_how_the_run_ended(open_page: Any, report: Path) -> None:
    page = open_page(report)
    titles = page.locator("#curves [role=heading]").all_inner_texts()
    assert [title.partition(" 3.5")[0].partition(" 1.1")[0].partition(" 50")[0] for title in titles] == [
        "Training and validation loss",
        "Validation loss",
        "Validation bits per byte",
        "Validation accuracy, %",
        "Learning rate",
        "Gradient norm",
        "Tokens per second",
    ]
    assert page.locator("#curves svg").count() == 7
    assert "Lowest validation loss: 0.5000, after 60 steps." in page.locator("#curves").inner_text()
    tiles = page.locator(".tiles > div").all_inner_texts()
    assert [tile.split("\n")[0] for tile in tiles] == ["60", "0.0500", "0.5000", "1 min 40 s"]
    assert "since step 20, 900 tokens/s" in tiles[-1]
    assert "This run failed." in page.locator(".warn").inner_text()
    assert "To do: look at chats" in page.locator("#checks").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_both_themes_and_on_a_phone_nothing_is_wider_than_the_page(
    open_page: Any, report: Path, scheme: str
) -> None:
    page = open_page(report, scheme=scheme, width=390)
    assert [one for one in page.evaluate(CONTRASTS) if one[1] < 4.5] == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_on_paper_the_charts_are_there(open_page: Any, report: Path) -> None:
    page = open_page(report)
    page.emulate_media(media="print")
    assert page.locator("#curves svg:visible").count() == 7
    assert page.locator("nav:visible").count() == 0


@pytest.mark.parametrize("content", ["", "nonsense\n", '{"step": 1, "loss": NaN}\n', None])
def test_a_run_without_figures_has_a_page_that_says_so(open_page: Any, tmp_path: Path, content: str | None) -> None:
    (tmp_path / "run.json").write_text('{"status": "running", "dataset_hash": "ab"}')
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    page = open_page(write_report(tmp_path))
    said = page.locator("#curves").inner_text()
    assert "metrics.jsonl" in said.lower() or "no values" in page.locator("#curves").text_content()
    assert "is not finished, or was killed" in page.locator(".warn").inner_text()
