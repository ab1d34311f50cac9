"""Where the work of a run is done: the settings of the command line for it, and the launcher that they choose."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sftdata.engines.engine import Launcher
from sftdata.engines.local import open_launcher
from sftdata.errors import ConfigError

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Where:
    """The engine of a run, its workers (default: as many as there are processors) and the address of a Ray cluster.

    None of it changes a byte. Raises ConfigError for an engine that is not known or not installed.
    """

    engine: str = "local"
    workers: int | None = None
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError("engine", f"must be {' or '.join(ENGINES)} (got {self.engine!r})", "local is the default")
        if self.ray_address is not None and self.engine != "ray":
            raise ConfigError("ray_address", "is given, but the engine is local", "add --engine ray (engine='ray')")
        if self.engine == "ray" and importlib.util.find_spec("ray") is None:
            raise ConfigError("engine", "ray is not installed here", "run `pip install 'sftdata[ray]'`")

    def launcher(
        self,
        folder: Path,
        note: Callable[[str], None],
        versions: Callable[[], Mapping[str, str]],
        is_small: bool,
        preload: Sequence[str],
        clear: Callable[[], None] | None = None,
    ) -> AbstractContextManager[Launcher]:
        """The launcher, to be used with `with`. `folder` takes what it writes: all machines share it, but where `clear`
        is given, which removes what another machine has there of its own; `note` gets messages for the user;
        `versions` says what must be the same wherever work is done. Little data is prepared in this process, but with
        Ray, which was asked for.
        """
        if self.engine == "local":
            return open_launcher(self.workers, folder, is_small=is_small, preload=preload)
        from sftdata.engines.ray import RayLauncher

        return RayLauncher(
            folder,
            address=self.ray_address,
            workers=self.workers,
            versions=versions,
            note=note,
            clear=clear,
        )
