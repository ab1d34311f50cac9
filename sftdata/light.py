"""Processes of ours: the command line, and the workers. In them there is no pandas, and workers may be forked.

pyarrow imports pandas, where it is installed, the first time it is given a list, to ask whether the list is pandas'
own. That takes longer than everything else that a process imports, and nothing here uses pandas. For the same reason
it imports numpy.ma, which is quicker, but done in every process. Programs that use sftdata as a library are left as
they are.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any, NoReturn


class _NoPandas:
    """Says that there is no pandas. A finder (importlib.abc.MetaPathFinder, whose module takes 10 ms to import)."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out of this process", name="pandas")


class _NoMasks:
    """Stands for numpy.ma until somebody wants more of it than to know whether an array is masked: none is before."""

    MaskedArray = type("MaskedArray", (), {})

    @staticmethod
    def is_masked(array: object) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("numpy.ma"), name)


_NO_PANDAS = _NoPandas()
_state = {"ours": False}


def take_over() -> None:
    """Say that this process is ours alone: nothing but sftdata runs in it."""
    _state["ours"] = True
    # Else importing numpy starts a thread for each core, and nothing here multiplies matrices.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Else pydantic looks through all that is installed for plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(1_000_000, 50, 50)  # rows are made of many small objects, and hardly ever of cycles
    # Else Arrow takes memory from the system and gives it back for each batch, a page fault for every page.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # There are as many processes as are wanted. Besides, threads of tokenizers would not be there in a copy of it.
    for name in ("RAYON_NUM_THREADS", "FASTOKENS_BPE_THREADS"):
        os.environ.setdefault(name, "1")
    shun_pandas()


def import_arrow() -> None:
    """Import pyarrow into a process of ours, but not yet numpy.ma, which it and np.unique look into for any array."""
    import numpy as np
    import pyarrow.compute  # noqa: F401

    if "numpy.ma" not in sys.modules:
        setattr(np, "ma", _NoMasks())  # noqa: B010 - which importing numpy.ma undoes


def leave(code: str | int | None) -> NoReturn:
    """End this process without taking down piece by piece what the system takes back whole: that takes 0.15 s."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads the output any more
        code = code or 141
    os._exit(code or 0)


def can_fork() -> bool:
    """Whether workers may be copies of this process: it is ours alone, and the system is known to copy it well."""
    return _state["ours"] and sys.platform == "linux"


def shun_pandas() -> None:
    """Keep pandas out of this process from now on, unless it is there already."""
    if "pandas" not in sys.modules and _NO_PANDAS not in sys.meta_path:
        sys.meta_path.insert(0, _NO_PANDAS)


def allow_pandas() -> None:
    """Let pandas be imported again, for a library that cannot do without."""
    if _NO_PANDAS in sys.meta_path:
        sys.meta_path.remove(_NO_PANDAS)
