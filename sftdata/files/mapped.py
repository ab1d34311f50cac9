"""Arrays in files, which are mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sftdata.files.atomic import make_zeros


def mapped_zeros(path: str | Path, dtype: str, shape: tuple[int, int]) -> np.memmap[Any, Any]:
    """An array of zeros in a new file, which can be written to: it has its room on the disk. Raises OutputError where
    there is none.
    """
    rows, columns = shape
    make_zeros(path, rows * columns * np.dtype(dtype).itemsize)
    return np.memmap(path, dtype, "r+", shape=shape)
