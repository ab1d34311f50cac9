"""`python -m sftdata`, and the program `sftdata`."""

from __future__ import annotations

from sftdata.cli.app import main

if __name__ == "__main__":
    main()
