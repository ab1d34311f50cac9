"""Puts this folder on the path, so that tests can import the modules in it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # importlib mode does not do this
