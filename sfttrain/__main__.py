"""`python -m sfttrain`."""

from __future__ import annotations

from sfttrain.cli import main

main()
