"""Puts this folder on the path, so that its tests can import the helpers in it. (importlib mode does not do this.)"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
