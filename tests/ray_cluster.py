"""A Ray cluster of one or two nodes on this machine. It belongs to a process of its own, so that tests share little
with it: no variables of the environment, no threads, and none of its files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import json, sys
from ray.cluster_utils import Cluster

small = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
notice = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 10}
cluster, second = Cluster(initialize_head=True, head_node_args={**small, "_system_config": notice}), []
print(json.dumps(cluster.address), flush=True)
for line in sys.stdin:
    wanted = json.loads(line)
    if wanted and not second:
        second.append(cluster.add_node(num_cpus=1, object_store_memory=80 << 20))
    if second and not wanted:
        cluster.remove_node(second.pop(), allow_graceful=False)
        cluster.wait_for_nodes()
    print(json.dumps([node.node_id for node in second]), flush=True)
cluster.shutdown()
"""
# For the nodes and what connects to them: ports of this machine alone, and nothing is sent to the makers of Ray.
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
    "RAY_worker_niceness": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class RayCluster:
    """A cluster whose first node has one processor, and which may have a second node like it. Used with `with`.

    Its workers can import what is in `paths`, and have `variables` in their environment.
    """

    def __init__(self, *paths: Path, variables: Mapping[str, str] = MappingProxyType({})) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")  # the paths of sockets must be short
        places = os.pathsep.join(map(str, (ROOT, *paths)))
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ENVIRONMENT, **variables, "PYTHONPATH": places, "RAY_TMPDIR": self._folder.name},
        )
        self.address = ""

    @property
    def pid(self) -> int:
        """The process whose children are the nodes."""
        return self._process.pid

    @property
    def folder(self) -> Path:
        """Where Ray's files are."""
        return Path(self._folder.name)

    def __enter__(self) -> RayCluster:
        try:
            self.address = self._answer()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def have(self, nodes: int) -> None:
        """Let it have one node or two: the second is added, or ended at once."""
        assert self._process.stdin is not None
        print(json.dumps(nodes == 2), file=self._process.stdin, flush=True)
        assert len(self._answer()) == nodes - 1

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the cluster has ended"
        return json.loads(line)
