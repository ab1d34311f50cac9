"""Lets the tests in this folder import the helpers that lie beside them (importlib mode adds no folder to the path)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
