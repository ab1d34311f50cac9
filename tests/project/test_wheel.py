"""The wheel: what it carries, and that it works in an environment that has never seen this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(command: Iterable[str | Path], folder: Path) -> str:
    """What a command prints, run without our paths in the environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this folder, built with the hatchling that is installed here."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("sftdata", "sfttrain", "templates"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, "--wheel-dir", out, source], source)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new virtual environment with the wheel in it, which also finds the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", folder], folder)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run([*pip, wheel], folder)
    site = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    Path(site, "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def test_the_wheel_carries_both_packages_their_types_the_templates_and_the_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"sftdata/templates/{path.name}" for path in (ROOT / "templates").iterdir() if path.is_file()}
    wanted |= {
        str(path.relative_to(ROOT)) for package in ("sftdata", "sfttrain") for path in (ROOT / package).rglob("*.py")
    }
    wanted |= {"sftdata/py.typed", "sfttrain/py.typed"}
    assert wanted - names == set()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"sftdata", "sfttrain"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_core_asks_for_no_model_library(wheel: Path) -> None:
    (name,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA"))
    metadata = zipfile.ZipFile(wheel).read(name).decode()
    core = [
        line.split()[1] for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra" not in line
    ]
    bare = {requirement.partition(">")[0].lower() for requirement in core}
    assert {"numpy", "pyarrow", "tokenizers"} <= bare
    assert bare & {"torch", "transformers", "trl", "peft", "accelerate"} == set()


def test_the_installed_wheel_prepares_a_file_with_a_template_of_its_own(
    environment: Path, tmp_path: Path, tiny_tokenizer: Path
) -> None:
    (tmp_path / "chats.csv").write_text("prompt,completion\nWho are you?,A small model.\nAnd I?,A user.\n", "utf-8")
    settings = ["--tokenizer", tiny_tokenizer, "--out", "shards", "template=alpaca"]
    run([environment / "sftdata", "prepare", "chats.csv", *settings], tmp_path)
    assert "2 rows read = 2 packed + 0 dropped" in run([environment / "sftdata", "verify", "shards"], tmp_path)
    code = "import sftdata; print(sftdata.__file__); print(sftdata.open('shards').sample(0).text)"
    home, text = run([environment / "python", "-c", code], tmp_path).split("\n", 1)
    assert Path(home).is_relative_to(environment.parent)
    assert "### Instruction:" in text


def test_both_programs_start_as_commands_and_as_modules(environment: Path, tmp_path: Path) -> None:
    from sftdata import __version__

    assert run([environment / "sftdata", "--version"], tmp_path) == f"sftdata {__version__}\n"
    assert run([environment / "python", "-m", "sftdata", "--version"], tmp_path) == f"sftdata {__version__}\n"
    for command in ([environment / "sfttrain"], [environment / "python", "-m", "sfttrain"]):
        assert "Usage: sfttrain" in run([*command, "--help"], tmp_path)
