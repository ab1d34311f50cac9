"""examples/inspect.ipynb runs from both folders that it names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "inspect.ipynb"


@pytest.fixture
def checkout(small_dataset: Path, tmp_path: Path) -> Path:
    """A folder like this repository after `make demo`, with a small dataset in place of the demo's."""
    shutil.copytree(small_dataset, tmp_path / ".cache" / "demo" / "shards")
    (tmp_path / "examples").mkdir()
    shutil.copy(NOTEBOOK, tmp_path / "examples")
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
def test_the_notebook_shows_summary_row_and_sample(checkout: Path, folder: str):
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra: notebook)")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra: notebook)")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra: notebook)")
    notebook = nbformat.read(checkout / "examples" / "inspect.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(checkout / folder)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pages = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert len(pages) == 3
    assert "6 conversations packed into 3 sequences" in pages[0]
    assert pages[1].count('class="sample"') == 4
    assert pages[2].count('class="sample"') == 1
    assert "<|im_end|>" in outputs[-1]["text"]


def test_no_outputs_are_committed():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra: notebook)")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
