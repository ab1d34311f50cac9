"""A launcher for Ray: every call is a Ray Core task, on whichever node has a processor free.

RayLauncher.run  --calls, a bounded number at a time-->  Ray  -->  _call, in a worker process of a node
                 <--results, as they arrive---------------

The only module that imports ray, and only in functions: Ray reads its switches from the environment at its import.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from sftdata.engines.local import count_cores, errors_to_send, settle_worker
from sftdata.errors import ConfigError, OutputError, SftDataError, SourceError, WorkerError, first_line, pluralize
from sftdata.files.atomic import output_errors
from sftdata.safe.addresses import mask_credentials

ResultT = TypeVar("ResultT")

MAX_RETRIES = 3  # of a call whose worker or node was lost; Ray makes them
_AHEAD = 2  # calls that Ray has for each processor, so that no worker waits for this process
_LOOK_S = 5.0  # between two looks at which nodes there are
_KNOCK_S = 5.0  # for the answer of an address
_CLEAR_S = 60.0  # for other machines to remove what they have of the work
_STORE_BYTES = 256 << 20  # for functions and narrow columns; text and tokens never go through Ray
LOCAL = "local"  # the address for Ray on this machine alone


class Job(NamedTuple):
    """What comes with every call: where a worker works, and what it must be like."""

    folder: str  # the current folder, from which relative paths are meant
    mark: Path  # a file in the work folder
    is_shared: bool  # whether every node sees it
    versions: Mapping[str, str]
    own_versions: Callable[[], Mapping[str, str]]
    host: str


class RayLauncher:
    """A Launcher whose calls are Ray tasks. Used with `with`.

    `address` is that of a running cluster: HOST:PORT, or `auto` for the one that this machine belongs to; without it
    that in RAY_ADDRESS. Without either, Ray starts on this machine alone, not reachable from others, with `workers`
    processes (default: one per core), and ends with the block. On a cluster `workers` is the number of calls at a time
    (default: as many as it has processors, also while nodes come and go). A program that is connected stays so.

    `folder` is where calls write; every node has it under this path, and sees what others write there. With `clear`,
    each machine has a folder of its own there, which that removes on other machines when the block ends without an
    error. `versions` says what decides the bytes, and is the same on every node. `note` gets which nodes there are, and
    which have left.

    Raises ConfigError where Ray cannot be reached, and WorkerError where a node cannot take part.
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str | None,
        workers: int | None,
        versions: Callable[[], Mapping[str, str]],
        note: Callable[[str], None],
        clear: Callable[[], None] | None = None,
    ) -> None:
        mark = folder / f"{secrets.token_hex(8)}.node"
        self._job = Job(str(Path.cwd()), mark, clear is None, versions(), versions, socket.gethostname())
        self._clear = clear
        self._address = address or os.environ.get("RAY_ADDRESS") or LOCAL
        self._workers, self._note = workers, note
        self._leave = ExitStack()
        self._nodes: dict[str, str] = {}  # the names of nodes by their ids
        self._processors, self._looked = -1, 0.0

    def __enter__(self) -> RayLauncher:
        with ExitStack() as stack:
            with output_errors(self._job.mark):
                self._job.mark.touch()
            stack.callback(self._job.mark.unlink, missing_ok=True)
            stack.enter_context(_connected(self._address, self._workers))
            self._look()
            self._leave = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster, or end Ray where it was started here."""
        with self._leave:
            if kind is None and self._clear is not None:
                self._clear_others(self._clear)

    def _clear_others(self, clear: Callable[[], None]) -> None:
        """Clear the machines besides this one, of those that answer within some seconds."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = ray.util.get_node_ip_address()
        others = {node["NodeManagerAddress"]: node["NodeID"] for node in ray.nodes() if node["Alive"]}
        task = ray.remote(num_cpus=0, max_retries=0)(_clear)
        calls = [
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(number, soft=False)).remote(clear)
            for address, number in others.items()
            if address != here
        ]
        if calls:
            ray.wait(calls, num_returns=len(calls), timeout=_CLEAR_S)

    def run(self, function: Callable[..., ResultT], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, ResultT]]:
        """See Launcher.run. A call whose worker or node is lost is made again, up to MAX_RETRIES times."""
        import ray

        data = pickle.dumps(function)
        name, held = hashlib.sha256(data).hexdigest(), [ray.put(data)]  # in a list, a worker gets it only when it asks
        task = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_call)
        left = iter(range(len(calls)))
        waiting: dict[Any, int] = {}
        try:
            while True:
                for number in islice(left, max(0, self._room() - len(waiting))):
                    waiting[task.remote(self._job, name, held, calls[number])] = number
                if not waiting:
                    return
                if ray.wait(list(waiting), num_returns=1, timeout=_LOOK_S)[0]:
                    for done in ray.wait(list(waiting), num_returns=len(waiting), timeout=0)[0]:
                        yield waiting.pop(done), _result(done)
        finally:
            for unfinished in waiting:
                with suppress(ray.exceptions.RayError):
                    ray.cancel(unfinished, force=True)

    def _room(self) -> int:
        """How many calls Ray may have at a time. Looks at the nodes now and then."""
        if time.monotonic() - self._looked > _LOOK_S:
            self._look()
        on_all = max(1, self._processors) * _AHEAD
        return on_all if self._address == LOCAL or self._workers is None else self._workers

    def _look(self) -> None:
        """Count nodes and processors, and say what has changed."""
        import ray

        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        for lost in self._nodes.keys() - nodes.keys():
            self._note(f"node {self._nodes[lost]} has left the cluster; what it was doing is done again on another one")
        self._nodes = {key: f"{node['NodeManagerHostname']} ({key[:8]})" for key, node in nodes.items()}
        processors = int(sum(node["Resources"].get("CPU", 0) for node in nodes.values()))
        if processors != self._processors:
            what = f"{pluralize(len(nodes), 'node')} with {pluralize(processors, 'processor')}"
            self._note(f"Ray: {what}" if processors else f"Ray: {what}; waiting for a node that can work")
        self._processors, self._looked = processors, time.monotonic()


@contextmanager
def _connected(address: str, workers: int | None) -> Iterator[None]:
    """Be connected to Ray while the block runs: to the cluster at this address, or to one that is started here."""
    is_local = address == LOCAL
    switches = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    switches["RAY_task_oom_retries"] = str(MAX_RETRIES)  # else a call for which memory is short is made for ever
    switches["RAY_DEDUP_LOGS_SKIP_REGEX"] = "^"  # every line: Ray prints what it does to stdout, which has the summary
    if is_local:
        # Ports of this machine alone, and a password of this run's own: Ray would write one into the home folder.
        switches |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        switches["RAY_worker_niceness"] = "0"  # as in a pool; Ray's workers give way to all else on the machine
    else:
        _knock(address)
    with _environment(switches), _short_folder() as folder:
        import ray

        if ray.is_initialized():
            yield
            return
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if is_local:
            options |= {"num_cpus": workers or count_cores(), "include_dashboard": False}
            options |= {"object_store_memory": _STORE_BYTES, "_temp_dir": folder}
        try:
            try:
                with _work_in(folder), _shown_without_credentials():
                    ray.init(address, **options)
            except SftDataError:
                raise
            except Exception as error:  # Ray raises many kinds, and this one too
                raise _unreachable(address, " ".join(str(error).split())) from error
            yield
        finally:
            ray.shutdown()  # also after Ctrl-C while it started


@contextmanager
def _environment(switches: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment that are not set, and have all that Ray sets itself as before afterwards."""
    before = {name: os.environ.get(name) for name in (*switches, "RAY_AUTH_MODE")}
    for name, value in switches.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, earlier in before.items():
            if earlier is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = earlier


@contextmanager
def _short_folder() -> Iterator[str]:
    """A folder for the files of Ray, removed afterwards. The path of a socket must be short, so TMPDIR is not asked."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp" if Path("/tmp").is_dir() else None)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _work_in(folder: str) -> Iterator[None]:
    """Have another current folder. Ray puts that of `ray.init` on the path of workers, and files in the user's may be
    named like libraries.
    """
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _shown_without_credentials() -> Iterator[None]:
    """Ray lists the command line of each program that connects, for all who see the cluster: without passwords and
    tokens in it. Raises ConfigError where it has some, and this version of Ray gives no way to leave them out.
    """
    try:
        from ray._private import utils

        command_line = utils.get_entrypoint_name
    except (ImportError, AttributeError) as error:
        if any(mask_credentials(part) != part for part in sys.orig_argv):
            what = "a word of it is a password or a token, and this version of Ray shows it to all who see the cluster"
            raise ConfigError("the command line", what, "write that source into a settings file") from error
        yield
        return
    utils.get_entrypoint_name = lambda: mask_credentials(command_line())
    try:
        yield
    finally:
        utils.get_entrypoint_name = command_line


def _knock(address: str) -> None:
    """Raise ConfigError where nothing answers at HOST:PORT within some seconds: Ray would try for a minute."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        hint = "give HOST:PORT of the head, as `ray start --head` prints it, or auto on a machine of the cluster"
        raise ConfigError(address, "is not an address of a Ray cluster that tasks can be sent to", hint)
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, first_line(error)) from error


def _unreachable(address: str, why: str) -> ConfigError:
    if address == LOCAL:
        hint = "run the same command again, or without --engine ray, which one machine does not need"
        return ConfigError("Ray", f"does not start on this machine ({why})", hint)
    what = "no Ray cluster runs on this machine" if address == "auto" else "no Ray cluster can be reached there"
    hint = "start one with `ray start --head`, or leave the address out for Ray on this machine alone"
    return ConfigError(address, f"{what} ({why})", hint)


def _result(reference: Any) -> Any:
    """The result of a call. Raises what the call raised, and WorkerError where its worker or node was lost for good."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        tries = f"in each of {1 + MAX_RETRIES} tries"
        raise WorkerError(
            "a worker process of the cluster",
            f"or its node was lost {tries}, most often because memory ran out ({first_line(error)})",
            "use nodes with more memory, or fewer processes on each (ray start --num-cpus N), and run the same command "
            "again",
        ) from error


# In workers, from here on.

_settled: set[Path] = set()
_loaded: dict[str, Callable[..., Any]] = {}


def _call(job: Job, name: str, held: Sequence[Any], arguments: tuple[Any, ...]) -> Any:
    """Call the function with the checksum `name`, which is loaded once; `held` has the reference to its pickle."""
    import ray

    with errors_to_send(), _node_named(job):
        _settle(job)
        if name not in _loaded:
            _loaded.clear()
            _loaded[name] = pickle.loads(ray.get(held[0]))
        return _loaded[name](*arguments)


def _clear(clear: Callable[[], None]) -> None:
    clear()


def _settle(job: Job) -> None:
    """Make this process a worker of the job. Raises WorkerError where the node is not like the others."""
    if job.mark in _settled:
        return
    settle_worker()
    with suppress(OSError):  # not every node has it, where all paths are absolute
        os.chdir(job.folder)
    node, own = f"node {socket.gethostname()}", job.own_versions()
    for name, version in job.versions.items():
        if own.get(name) != version:
            what = f"has {name} {own.get(name)}, and the machine that gives it work has {version}"
            raise WorkerError(node, what, "install the same versions on every node, and run the same command again")
    if job.is_shared and not job.mark.exists():
        what = f"does not see the work folder {job.mark.parent}"
        hint = "name a folder that every node has under the same path, or an address on a store, as out.work"
        raise WorkerError(node, what, hint)
    _settled.clear()
    _settled.add(job.mark)


@contextmanager
def _node_named(job: Job) -> Iterator[None]:
    """Name the node in errors about files, which another node may see otherwise, or open with other credentials."""
    try:
        yield
    except (SourceError, OutputError) as error:
        node, hint = socket.gethostname(), error.hint
        if "credentials" in error.what:
            hint += "; on every node: what Ray runs there has the environment of `ray start`"
        elif node == job.host:
            raise
        raise type(error)(error.where, f"{error.what} (on node {node})", hint) from error
