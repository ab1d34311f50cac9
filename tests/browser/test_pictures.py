"""The script that makes the pictures of the documents makes those that are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"

pytestmark = pytest.mark.filterwarnings("default")  # the notebook libraries' own


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("make_pictures", PICTURES / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_the_pictures_that_are_in_the_repository(
    browser: Any, script: Any, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    made = script.make(browser, tiny_tokenizer, tmp_path, scales=[0.5])
    assert {path.name for path in made} == {path.name for path in PICTURES.glob("*.png")}
    for path in made:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.parent == tmp_path


def test_pictures_are_small_and_each_is_there_light_and_dark() -> None:
    names = {path.name for path in PICTURES.glob("*.png")}
    assert {name.replace("_light.", "_dark.") for name in names if "_light." in name} == {
        name for name in names if "_dark." in name
    }
    assert {"sample_light.png", "card_light.png", "report_light.png"} < names
    assert [path.name for path in PICTURES.glob("*.png") if path.stat().st_size >= 150_000] == []


def test_every_picture_that_a_document_shows_is_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for shown in re.findall(r"[\w./-]*pictures/[\w.-]+\.png", page.read_text(encoding="utf-8")):
            assert (page.parent / shown).is_file(), f"{page.name}: {shown}"
