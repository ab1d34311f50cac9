"""`python -m sftdata`."""

from __future__ import annotations

from sftdata.cli import main

if __name__ == "__main__":
    main()
