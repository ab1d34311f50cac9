"""What is imported when a command starts, in any of its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from package_files import ROOT

LOADED = {"torch", "transformers", "datasets", "pyarrow", "numpy", "pydantic", "tokenizers"}


@pytest.mark.parametrize(
    ("package", "arguments", "by_typer"),
    [
        ("sftdata", ["--help"], set()),
        ("sftdata", ["--version"], set()),
        ("sftdata", ["prepare", "--help"], {"pydantic"}),
        ("sftdata", ["check"], {"pydantic"}),
        ("sfttrain", ["--help"], set()),
        ("sfttrain", ["--version"], set()),
        ("sfttrain", ["run", "--help"], {"pydantic"}),
        ("sfttrain", ["eval", "--help"], {"pydantic"}),
    ],
)
def test_help_and_version_load_no_library_but_the_command_line(
    package: str, arguments: list[str], by_typer: set[str]
) -> None:
    code = (
        f"import sys\nfrom {package}.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print('loaded', *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    *_, loaded = run.stdout.splitlines()
    assert loaded.startswith("loaded sys ")
    assert LOADED & set(loaded.split()) <= by_typer


# The command line, and the command line with a pool for any data, which says how many workers it has started.
PROGRAM = """
import sys
from multiprocessing.process import BaseProcess
from sftdata.cli.app import main
from sftdata.pipeline import read

read.SMALL_BYTES, read.UNIT_BYTES = 0, 50
start = BaseProcess.start

def counted(process):
    start(process)
    print("worker", file=sys.stderr)

BaseProcess.start = counted
main()
"""


@pytest.mark.parametrize(("program", "workers"), [(["-m", "sftdata"], 0), (["-c", PROGRAM], 2)])
def test_prepare_imports_neither_torch_nor_transformers_nor_datasets(
    tmp_path: Path, tiny_tokenizer: Path, program: list[str], workers: int
) -> None:
    """Modules of these names are first on the path, and leave a note when any process imports them."""
    notes = tmp_path / "imported"
    notes.mkdir()
    for name in ("torch", "transformers", "datasets"):
        package = tmp_path / "path" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"import pathlib\npathlib.Path({str(notes / name)!r}).touch()\n")
    data = tmp_path / "chats.jsonl"
    data.write_text('{"prompt": "Who are you?", "completion": "A small model."}\n' * 3, encoding="utf-8")
    command = ["prepare", str(data), "--tokenizer", str(tiny_tokenizer), "--out", str(tmp_path / "shards")]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'path'}{os.pathsep}{ROOT}"}
    subprocess.run([sys.executable, "-c", "import torch"], env=environment, cwd=tmp_path, check=True)
    assert [path.name for path in notes.iterdir()] == ["torch"]
    (notes / "torch").unlink()
    run = subprocess.run(
        [sys.executable, *program, *command, "--workers", "2"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr.splitlines().count("worker")) == (0, workers), run.stderr
    assert [path.name for path in notes.iterdir()] == []
