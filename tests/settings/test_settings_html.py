"""Settings in a notebook: those that differ from the defaults as a table, the others folded."""

from __future__ import annotations

import re

import sftdata

EVIL = "<script>alert(1)</script>\x1b"


def rows(html: str) -> list[tuple[str, ...]]:
    return [
        tuple(re.findall(r"<td>(.*?)</td>", row)) for row in re.findall(r"<tr>(.*?)</tr>", html.replace("<wbr>", ""))
    ]


def test_what_differs_from_the_defaults_is_a_table_and_the_others_are_folded() -> None:
    config = sftdata.Config.from_dict(
        {
            "tokenizer": "ORG/NAME",
            "sources": [{"path": "a.jsonl", "columns": {"prompt": "q"}, "repeat": 2}, "b.jsonl"],
            "out": "shards",
            "pack": {"seq_len": 4096},
        }
    )
    shown, _, folded = config._repr_html_().partition("<details>")
    assert sorted(rows(shown)) == [
        ("out.path", "shards"),
        ("pack.seq_len", "4096"),
        ("sources.0.columns.prompt", "q"),
        ("sources.0.path", "a.jsonl"),
        ("sources.0.repeat", "2"),
        ("sources.1.path", "b.jsonl"),
        ("tokenizer", "ORG/NAME"),
    ]
    others = dict(rows(folded))
    assert others["seed"] == "0" and others["dedup.exact"] == "true" and others["sources.1.repeat"] == "1"
    assert not {"tokenizer", "pack.seq_len", "sources.0.repeat", "sources.0.columns"} & set(others)
    assert f"{len(others):,} at their defaults" in folded


def test_text_stays_text_passwords_are_hidden_and_rows_are_counted() -> None:
    config = sftdata.Config.from_dict(
        {
            "tokenizer": EVIL,
            "sources": [{"rows": [{"text": "x"}] * 3, "name": "mine"}, {"path": "https://me:secret@host/a.jsonl"}],
            "out": "shards",
        }
    )
    html = config._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and "\x1b" not in html
    assert "secret" not in html
    assert ("sources.0.rows", "3 rows: list") in rows(html)


def test_a_group_of_settings_that_are_all_defaults_says_so() -> None:
    assert (
        "all settings are the defaults"
        in sftdata.Config.from_dict({"tokenizer": "a", "sources": ["b"], "out": "c"}).dedup._repr_html_()
    )
