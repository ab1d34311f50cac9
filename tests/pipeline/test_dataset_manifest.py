"""Versions in the manifest, and the key of the program under which work is used again."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import pytest

import sftdata
from sftdata.curate.duplicates import embedding
from sftdata.pipeline import dataset_manifest
from sftdata.pipeline.dataset_manifest import TOOLS, describe_versions, program_key


def test_the_manifest_names_the_installed_versions_of_the_tools_that_decide_the_bytes() -> None:
    versions = describe_versions(semantic=False)
    assert versions == {"sftdata": sftdata.__version__, **{name: metadata.version(name) for name in TOOLS}}
    assert {"pyarrow", "tokenizers", "fastokens", "jinja2"} <= set(versions)


def test_with_semantic_duplicates_the_libraries_that_embed_are_among_them() -> None:
    pytest.importorskip("faiss", reason="the extra `semantic` is not installed")
    pytest.importorskip("sentence_transformers", reason="the extra `semantic` is not installed")
    versions = describe_versions(semantic=True)
    assert set(versions) == {*describe_versions(semantic=False), *embedding.TOOLS, "faiss-cpu"}
    assert all(versions[name] == metadata.version(name) for name in (*embedding.TOOLS, "faiss-cpu"))


def test_the_key_of_the_program_changes_with_its_source_and_with_its_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work of another version is not used again, and where the program lies does not matter."""
    package = tmp_path / "sftdata"
    shutil.copytree(Path(sftdata.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    installed = program_key()
    monkeypatch.setattr(dataset_manifest, "__file__", str(package / "pipeline" / "dataset_manifest.py"))
    assert program_key() == installed
    source = package / "curate" / "words.py"
    source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    changed = program_key()
    assert changed != installed
    monkeypatch.setattr(dataset_manifest, "describe_versions", lambda *, semantic: {"pyarrow": "1.0"})
    assert program_key() not in (changed, installed)
