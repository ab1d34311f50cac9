"""The source files of both packages."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def package_files() -> dict[Path, str]:
    """Every Python file of sftdata and sfttrain, with its text."""
    paths = [path for package in ("sftdata", "sfttrain") for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(paths) > 40
    return {path: path.read_text("utf-8") for path in paths}


def module_name(path: Path) -> str:
    """sftdata/read/units.py -> sftdata.read.units"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)
