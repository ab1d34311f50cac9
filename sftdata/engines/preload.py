"""What the server that workers come from imports first."""

from __future__ import annotations

from sftdata.light import shun_pandas

shun_pandas()
