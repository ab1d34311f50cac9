"""Processes of ours: the command line, and the workers. In them there is no pandas, and workers may be forked.

pyarrow imports pandas, where it is installed, the first time it is given a list, to ask whether the list is pandas'
own. That takes longer than everything else that a process imports, and nothing here uses pandas. For the same reason
it imports numpy.ma, which is quicker, but done in every process. Programs that use sftdata as a library are left as
they are.

Half of what numpy and pyarrow.compute do when they are imported is to write documentation, which nobody reads here, or
to make types for annotations; pydantic looks for plugins, and pyarrow.parquet brings stores. All that stays out as
well: see _stand_in and what calls it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import GenericAlias, ModuleType, SimpleNamespace
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


class _Typing(ModuleType):
    """Stands for numpy.typing, or numpy._typing, until somebody wants more of it than to name arrays in annotations."""

    class NDArray:
        def __class_getitem__(cls, scalar: object) -> GenericAlias:
            return GenericAlias(sys.modules["numpy"].ndarray, (Any, scalar))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if _NO_TYPING in sys.meta_path:
            sys.meta_path.remove(_NO_TYPING)
            for stood_for in _NoTyping.NAMES:
                sys.modules.pop(stood_for, None)
        return getattr(importlib.import_module(self.__name__), name)


class _NoTyping:
    """Finds a _Typing for each of the two. A finder, and the loader of what it finds."""

    NAMES = ("numpy._typing", "numpy.typing")

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if fullname not in self.NAMES:
            return None
        spec = ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]
        spec.submodule_search_locations = [f"{folder}/{fullname.rpartition('.')[2]}" for folder in path or ()]
        return spec

    def create_module(self, spec: ModuleSpec) -> _Typing:
        return _Typing(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: a stand-in is all there when it is made."""


class _FewFunctions:
    """pyarrow's functions, as far as they are listed. pyarrow.compute makes and describes one of its own for each.

    Those that sftdata calls, or methods of arrays and tables that it calls, and the one that pyarrow.compute names when
    it is imported. Any other is there as well, once somebody looks for it.
    """

    _NAMES = (
        "and any binary_join_element_wise coalesce count_distinct dictionary_encode drop_null ends_with equal filter "
        "greater if_else index_in invert is_in is_null is_valid less_equal list_flatten list_value_length not_equal or "
        "sort_indices sum unique utf8_zero_fill"
    )
    LISTED = frozenset(_NAMES.split())

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def list_functions(self) -> list[str]:
        return [name for name in self._registry.list_functions() if name in self.LISTED]

    def get_function(self, name: str) -> Any:
        return self._registry.get_function(name)


_NO_PANDAS, _NO_TYPING = _NoPandas(), _NoTyping()
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
    for name in ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars"):  # they write documentation alone
        sys.modules.setdefault(name, _stand_in(name))
    if "numpy" not in sys.modules and _NO_TYPING not in sys.meta_path:
        sys.meta_path.insert(0, _NO_TYPING)
    loader = "pydantic.plugin._loader"  # which imports a lot to look for plugins
    sys.modules.setdefault(loader, _stand_in(loader, get_plugins=tuple))
    shun_pandas()


def import_arrow() -> None:
    """Import numpy and pyarrow into a process of ours, but of them only what it needs.

    Not numpy.ma, which pyarrow and np.unique look into for any array, until somebody wants it.
    """
    import numpy as np

    if "numpy.ma" not in sys.modules:
        setattr(np, "ma", _NoMasks())  # noqa: B010 - which importing numpy.ma undoes
    if "pyarrow.compute" not in sys.modules:
        _import_compute()


def _import_compute() -> None:
    """Import pyarrow.compute with few of its functions, each without the description of its options."""
    import pyarrow._compute as core

    registry = core.function_registry
    describer = "pyarrow.vendored.docscrape"
    sys.modules.setdefault(describer, _stand_in(describer, NumpyDocString=lambda text: {"Parameters": []}))
    core.function_registry = lambda: _FewFunctions(registry())
    with contextlib.suppress(Exception):  # it is another version, which wants to see more of them
        importlib.import_module("pyarrow.compute")
    core.function_registry = registry
    compute = importlib.import_module("pyarrow.compute")

    def __getattr__(name: str) -> Any:  # noqa: N807 - what Python asks a module for that lacks a name
        if name.startswith("__"):
            raise AttributeError(name)
        spec = compute.__spec__
        assert spec is not None and spec.loader is not None
        whole = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(whole)
        setattr(compute, "__getattr__", whole.__getattribute__)  # noqa: B010
        return getattr(whole, name)

    setattr(compute, "__getattr__", __getattr__)  # noqa: B010


def import_parquet() -> Any:
    """pyarrow.parquet. In a process of ours it brings no stores (fsspec is used for those), nor OpenSSL for them."""
    if not _state["ours"] or "pyarrow.fs" in sys.modules:
        return importlib.import_module("pyarrow.parquet")
    no_certificates = SimpleNamespace(cafile=None, capath=None)
    left_out: dict[str, Any] = {f"pyarrow.{name}": None for name in ("_azurefs", "_gcsfs", "_s3fs")}
    left_out["ssl"] = _stand_in("ssl", get_default_verify_paths=lambda: no_certificates)
    left_out = {name: module for name, module in left_out.items() if name not in sys.modules}
    sys.modules.update(left_out)
    try:
        return importlib.import_module("pyarrow.parquet")
    finally:
        for name in left_out:
            del sys.modules[name]


def _stand_in(name: str, **attributes: object) -> ModuleType:
    """A module that has nothing but these attributes."""
    module = ModuleType(name)
    vars(module).update(attributes)
    return module


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
