"""Which words of a command line are sources and which are settings."""

from __future__ import annotations

from sftdata.cli.shared import paths_and_settings


def test_a_setting_whose_value_is_an_address_is_no_source_and_an_address_with_a_query_is_one() -> None:
    sources = ["a.jsonl", "https://example.org/a.jsonl?token=a=b", "s3://bucket/a=b/*.jsonl"]
    assert paths_and_settings([*sources, "out.work=s3://bucket/w"]) == (sources, ["out.work=s3://bucket/w"])
