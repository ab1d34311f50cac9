"""What processes of ours leave out, each in a program of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(body: str) -> list[str]:
    """What a program prints that has taken its process over."""
    program = "import sys\nfrom sftdata import light\nlight.take_over()\n" + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_arrays_are_made_without_numpy_ma_and_masked_ones_are_known_all_the_same() -> None:
    assert run(
        """
        light.import_arrow()
        import numpy as np
        import pyarrow as pa

        pa.array(np.arange(3))
        np.unique([2, 1, 2])
        print("numpy.ma" in sys.modules)
        masked = np.ma.masked_array([1, 2, 3], mask=[0, 1, 0])
        print(pa.array(masked).null_count, np.ma.is_masked(masked), np.ma is sys.modules["numpy.ma"])
        """
    ) == ["False", "1", "True", "True"]


def test_who_imports_numpy_ma_has_it() -> None:
    assert run(
        """
        light.import_arrow()
        from numpy import ma
        import numpy.ma as whole
        print(ma.masked_array([1], mask=[1]).mask.tolist(), isinstance(ma.masked_array([1]), whole.MaskedArray))
        """
    ) == ["[True]", "True"]


def test_pandas_stays_out_until_it_is_allowed() -> None:
    assert run(
        """
        light.import_arrow()
        import pyarrow as pa

        pa.array([1, None])
        print("pandas" in sys.modules)
        light.allow_pandas()
        import pandas
        print(pandas.Series(pa.array([1])).tolist())
        """
    ) == ["False", "[1]"]


def test_of_pyarrows_functions_those_are_there_that_sftdata_calls_and_others_when_they_are_wanted() -> None:
    called = {
        name for path in (ROOT / "sftdata").rglob("*.py") for name in re.findall(r"\bpc\.(\w+)", path.read_text())
    }
    assert {"is_in", "sort_indices"} <= called
    assert run(
        f"""
        light.import_arrow()
        import pyarrow as pa
        import pyarrow.compute as pc

        print({called!r} <= vars(pc).keys(), len(vars(pc)) < 200, "pydoc" in sys.modules)
        print(pc.utf8_upper(pa.array(["a"]))[0], pc.min_max(pa.array([2, 1]))["max"])
        print(len(pa.array(["b"]).value_counts()))
        from pyarrow.compute import utf8_length
        print(utf8_length(pa.array(["abc"]))[0], hasattr(pc, "no_function"))
        """
    ) == ["True", "True", "False", "A", "2", "1", "3", "False"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not copies of the process")
def test_a_run_needs_no_other_function_of_pyarrow(tiny_tokenizer: Path, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": "As many as there are."}]
    (tmp_path / "a.jsonl").write_text(f"{json.dumps({'messages': turns})}\n" * 3 + "{}\n")
    for command in (
        ["prepare", "a.jsonl", "--tokenizer", str(tiny_tokenizer), "--out", "out", "dedup.near=on", "filters=default"],
        ["verify", "out"],
    ):
        said = run(
            f"""
            import importlib.util, os
            from sftdata.__main__ import main

            os.chdir({str(tmp_path)!r})
            importlib.util.module_from_spec = None  # which all functions would be made with
            sys.argv = ["sftdata", *{command!r}]
            main()
            """
        )
        assert "4" in said  # rows read


def test_numpy_works_without_its_documentation() -> None:
    assert run(
        """
        light.import_arrow()
        import numpy as np

        print(np.add.outer([1], [2])[0, 0], "numpy._core._add_newdocs" in sys.modules, np.ndarray.sum.__doc__)
        """
    ) == ["3", "True", "None"]


def test_pydantic_works_without_looking_for_plugins() -> None:
    assert run(
        """
        from pydantic import BaseModel

        class Model(BaseModel):
            number: int

        print(Model(number="3").number, "importlib.metadata" in sys.modules)
        """
    ) == ["3", "False"]


def test_parquet_comes_without_stores_and_leaves_the_modules_as_they_are() -> None:
    assert run(
        """
        import io

        light.import_arrow()
        pq = light.import_parquet()
        import pyarrow as pa

        file = io.BytesIO()
        pq.write_table(pa.table({"a": [1, 2]}), file)
        print(pq.read_table(file).num_rows, "ssl" in sys.modules, "pyarrow._s3fs" in sys.modules)
        import ssl
        from pyarrow import _s3fs
        print(ssl.create_default_context().check_hostname, _s3fs.__name__)
        """
    ) == ["2", "False", "False", "True", "pyarrow._s3fs"]


def test_a_program_that_uses_sftdata_has_all_of_pyarrow() -> None:
    program = "import sftdata.store.ledger, pyarrow.fs, pyarrow.compute; print(pyarrow.fs.S3FileSystem.__name__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["S3FileSystem"], done.stderr


def test_numpys_types_for_annotations_come_when_more_of_them_is_wanted_than_arrays() -> None:
    assert run(
        """
        light.import_arrow()
        import numpy as np
        import numpy.typing as npt

        array = npt.NDArray[np.int32]
        print(array.__origin__ is np.ndarray, (array | None).__args__[0] == array)
        print("numpy._typing._array_like" in sys.modules)
        print(type(npt.DTypeLike).__module__, npt.ArrayLike is sys.modules["numpy.typing"].ArrayLike)
        from numpy._typing import _ArrayLikeInt
        print(np.linalg.inv(np.eye(1))[0, 0])
        """
    ) == ["True", "True", "False", "typing", "True", "1.0"]
    assert run(
        """
        from numpy._typing._nbit import _NBitInt
        import numpy.typing as npt

        print(_NBitInt is not None, npt.NDArray[float].__origin__.__name__)
        """
    ) == ["True", "ndarray"]
