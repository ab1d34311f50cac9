"""Puts this folder and that of the oracle on the path, so that tests can import the helpers in them."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in (Path(__file__).resolve().parents[1] / "encode", Path(__file__).resolve().parent):
    sys.path.insert(0, str(folder))  # importlib mode does not do this
