"""Chat templates are found by name, by path, or in the tokenizer."""

from __future__ import annotations

from datetime import date as Date
from pathlib import Path
from typing import Any

import pytest
from families import TEMPLATES

from sftdata.encode.template.load import load_template, template_names, template_source
from sftdata.errors import TemplateError


def test_every_template_file_can_be_loaded_by_name() -> None:
    assert template_names() == sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
    assert template_source("chatml") == (TEMPLATES / "chatml.jinja").read_text(encoding="utf-8")


def test_a_template_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("x", encoding="utf-8")
    assert template_source(str(path)) == "x"


def test_an_unknown_template_is_an_error_that_lists_the_built_in_ones() -> None:
    with pytest.raises(TemplateError, match="chatml"):
        template_source("no-such-template")


def test_auto_is_an_error_if_the_tokenizer_has_no_template() -> None:
    with pytest.raises(TemplateError, match="no chat template"):
        load_template("auto", own={}, special_tokens={}, today=Date(2026, 1, 1))


def test_a_template_that_is_not_jinja_is_an_error_with_its_line(make_encoder: Any) -> None:
    with pytest.raises(TemplateError, match=":2"):
        make_encoder("x\n{% if %}")
