"""`python -m sfttrain`."""

from __future__ import annotations

from sfttrain.cli.app import main

main()
