"""examples/inspect.ipynb runs from both folders that it names."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

import sftdata

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "inspect.ipynb"


@pytest.fixture
def checkout(tiny_tokenizer: Path, tmp_path: Path) -> Path:
    """A folder like this repository after `make demo`, with a small tokenizer in place of the demo's."""
    shutil.copytree(ROOT / "examples" / "demo", tmp_path / "examples" / "demo")
    shutil.copy(NOTEBOOK, tmp_path / "examples")
    shutil.copytree(tiny_tokenizer, tmp_path / ".cache" / "demo" / "model")
    sftdata.prepare(
        str(tmp_path / "examples" / "demo" / "train.jsonl"),
        tokenizer=str(tmp_path / ".cache" / "demo" / "model"),
        out=tmp_path / ".cache" / "demo" / "shards",
        progress=False,
    )
    return tmp_path


@pytest.fixture
def kernel_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel imports the package from this checkout and writes only into the test folder."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.mark.usefixtures("kernel_env")
@pytest.mark.filterwarnings("default")  # the notebook libraries' own
@pytest.mark.parametrize("folder", [".", "examples"])
def test_the_notebook_shows_what_it_says(checkout: Path, folder: str):
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra: notebook)")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra: notebook)")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra: notebook)")
    notebook = nbformat.read(checkout / "examples" / "inspect.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(checkout / folder)}}).execute()
    shown = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    page = {name: outputs[-1]["data"]["text/html"] for name, outputs in shown.items() if "data" in outputs[-1]}
    assert "1,036 conversations packed into" in page["open"]
    assert page["sequence"].count('class="sample"') > 1 and page["sample"].count('class="sample"') == 1
    assert "<|im_end|>" in shown["values"][-1]["text"]
    assert "refund" in page["search"] and '<div class="paged"' in page["search"]
    assert [output["output_type"] for output in shown["prepare"]] == ["display_data", "execute_result"]
    assert "of 44 rows kept" in page["prepare"] and "dropped as overlong" in page["prepare"]
    assert "raw.jsonl:43" in page["dropped"] and "no_answer 1" in page["dropped"]
    assert "raw.jsonl:41 and raw.jsonl:1 (kept) (equal)" in page["why"]
    assert "packed in train -&gt; dropped: near_duplicate" in page["diff"]
    assert "<del> Please reply soon.</del>" in page["why-near"]
    assert re.fullmatch(r"\.cache/demo/after/report\.html: \d+ kB\n", shown["report"][-1]["text"])
    streams = [output for outputs in shown.values() for output in outputs if output["output_type"] == "stream"]
    assert [output["name"] for output in streams] == ["stdout", "stdout"]  # nothing on stderr


def test_no_outputs_are_committed():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra: notebook)")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
