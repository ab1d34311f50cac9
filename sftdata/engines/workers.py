"""What all processes of ours have in common besides the main one: how they begin, and how they say what went wrong.

Imports next to nothing: the first of them is begun before anything else is there.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from multiprocessing.connection import wait

from sftdata.errors import WorkerError


class RemoteTraceback(Exception):
    """Where in another process an exception came from."""


def begin_worker() -> None:
    """Leave Ctrl-C to the main process, and end when it ends, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_after, args=(parent.sentinel,), daemon=True).start()


def _leave_after(sentinel: int) -> None:
    """End this process when the sentinel says that the main process is gone (kill -9 tells nobody)."""
    wait([sentinel])
    os._exit(1)


def killed_worker() -> WorkerError:
    """What to say where the system ended a worker."""
    return WorkerError(
        "a worker process",
        "was ended by the system, most often because memory ran out",
        "use fewer --workers or a machine with more memory, and run the same command again",
    )


def sendable(error: BaseException) -> Exception:
    """The error, or where it would not arrive as it is (a panic of a Rust library does not), one that says the same."""
    try:
        if isinstance(error, Exception) and isinstance(pickle.loads(pickle.dumps(error)), type(error)):
            return error
    except Exception:  # noqa: BLE001 - whatever pickling raises
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
