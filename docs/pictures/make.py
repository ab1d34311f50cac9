"""Make the pictures of README.md and docs/: `make pictures`, or `python docs/pictures/make.py TOKENIZER [FOLDER]`.

TOKENIZER is a folder with the tokenizer of SmolLM2-135M-Instruct, such as `make demo` leaves; FOLDER is where the
pictures go, by default docs/pictures. They show the example data of the demo, and the rows of the files beside this
one. Needs playwright and a Chromium, as the tests in a browser do.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import sftdata
from sftdata.view.html.charts import CHART_CSS, line_chart

PICTURES = Path(__file__).resolve().parent
ROOT = PICTURES.parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browsing import HOW_TO_INSTALL, launch  # noqa: E402

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
THEMES = {"light": ("#ffffff", "#1f2328"), "dark": ("#0d1117", "#e6edf3")}  # background and text: those of GitHub
MARKS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
# A text in a row of masks.jsonl, and the template that the row is shown in.
MASKS = {"chat": ("sunset", "chatml"), "tool_call": ("umbrella", "qwen2.5"), "reasoning": ("17 x 6", "qwen3")}
DEMO_ROWS = 90
RESULTS = PICTURES.parent / "results" / "gsm8k.json"
SIDES = {"sfttrain": "sfttrain on packed shards", "trl": "TRL's SFTTrainer on the raw file"}
MAX_BYTES, SCALES = 150_000, (2, 1.75, 1.5, 1.25, 1)  # of a picture; pixels of it for one of a page
_PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:0;background:{ground};color:{text};
font-family:system-ui,sans-serif"><div id="all" style="padding:12px 16px">{html}</div>"""


class Picture(NamedTuple):
    """A picture before it is taken."""

    name: str
    page: str  # HTML; {ground} and {text} stand for the colours of a theme
    width: int
    height: int = 0  # 0: all of it


def main(arguments: list[str]) -> int:
    """Make the pictures, and print their names."""
    if not arguments:
        print(__doc__)
        return 2
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright)
        if browser is None:
            print(HOW_TO_INSTALL)
            return 1
        for path in make(browser, Path(arguments[0]), Path(arguments[1]) if arguments[1:] else PICTURES):
            print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB")
    return 0


def make(browser: Any, tokenizer: Path, folder: Path, scales: Sequence[float] = SCALES) -> list[Path]:
    """The pictures, in `folder`, each light and dark."""
    before = Path.cwd()
    made = []
    with tempfile.TemporaryDirectory() as work:
        copy_tokenizer(tokenizer.resolve(), Path(work, MODEL))
        os.chdir(work)  # a name of a model is a folder here, and is shown as on the hub
        try:
            for picture in [*of_dataset(), *of_masks(), *of_results()]:
                made += [taken(browser, picture, theme, before / folder, scales) for theme in THEMES]
        finally:
            os.chdir(before)
    return made


def copy_tokenizer(tokenizer: Path, to: Path) -> None:
    """The files of a tokenizer, without the weights of its model."""
    to.mkdir(parents=True)
    for path in tokenizer.iterdir():
        if path.is_file() and path.suffix in (".json", ".jinja", ".txt"):
            shutil.copy(path, to)


def of_dataset() -> list[Picture]:
    """A sample, the card and the report of a dataset."""
    with open(ROOT / "examples" / "demo" / "train.jsonl", encoding="utf-8") as demo:
        Path("support.jsonl").write_text("".join(islice(demo, DEMO_ROWS)), encoding="utf-8")
    shutil.copy(PICTURES / "chats.jsonl", ".")
    dataset = sftdata.prepare(
        ["support.jsonl", "chats.jsonl"],
        tokenizer=MODEL,
        out="shards",
        pack={"seq_len": 512},
        dedup={"near": {"threshold": 0.7}},
        progress=False,
    )
    (sample,) = dataset.samples.search("And 503?")
    report = dataset.report().read_text(encoding="utf-8")
    return [
        Picture("sample", framed(sample._repr_html_()), 760),
        Picture("card", framed(dataset._repr_html_()), 900),
        Picture("report", report, 1100, 935),
    ]


def of_masks() -> list[Picture]:
    """What is trained of a chat, a tool call and a reasoning answer; their marks are tokens, as in most models."""
    from tokenizers import Tokenizer

    path = Path(MODEL, "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens(list(MARKS))
    tokenizer.save(str(path))
    found = []
    for name, (text, template) in MASKS.items():
        dataset = sftdata.prepare(
            str(PICTURES / "masks.jsonl"),
            tokenizer=MODEL,
            template=str(ROOT / "templates" / f"{template}.jinja"),
            out=f"masks_{name}",
            progress=False,
        )
        (sample, *_) = dataset.samples.search(text)
        found.append(Picture(f"masks_{name}", framed(sample._repr_html_()), 760))
    return found


def of_results() -> list[Picture]:
    """The loss in docs/results, the mean of the seeds, against trained tokens and against time."""
    figures = json.loads(RESULTS.read_text(encoding="utf-8"))
    start = {"trained_tokens": 0, "seconds": 0, "loss": figures["before"]}
    found = []
    for axis, x_name in (("trained_tokens", "trained tokens"), ("seconds", "seconds since the command was started")):
        curves = {}
        for side, name in SIDES.items():
            runs = [[start, *run["points"]] for run in figures["runs"] if run["side"] == side]
            points = zip(*runs, strict=True)
            curves[name] = [(fmean(one[axis] for one in some), fmean(one["loss"] for one in some)) for some in points]
        chart = line_chart(curves, title="Loss on answers", x_name=x_name, y_name="loss on answers", dots=True)
        found.append(
            Picture(f"results_{axis}", framed(f'<style>{CHART_CSS}</style><div class="sftv">{chart}</div>'), 510)
        )
    return found


def framed(html: str) -> str:
    """What a cell of a notebook shows, as a page."""
    return _PAGE.replace("{html}", html)


def taken(browser: Any, picture: Picture, theme: str, folder: Path, scales: Sequence[float]) -> Path:
    """Take a picture in a theme, as fine as MAX_BYTES allow."""
    ground, text = THEMES[theme]
    page = picture.page.replace("{ground}", ground, 1).replace("{text}", text, 1)
    path = folder / f"{picture.name}_{theme}.png"
    for scale in scales:
        context = browser.new_context(
            color_scheme=theme,
            viewport={"width": picture.width, "height": picture.height or 100},
            device_scale_factor=scale,
        )
        tab = context.new_page()
        tab.set_content(page)
        tab.screenshot(path=str(path), full_page=not picture.height)
        context.close()
        if path.stat().st_size < MAX_BYTES:
            break
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
