"""The files in examples/cluster: by Ray's own schema, by the shell's syntax, and by what each of them must say."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "cluster"
# Of https://github.com/ray-project/kuberay, the parts that a RayJob of this kind needs; names of settings are checked.
CONTAINER = {
    "type": "object",
    "required": ["name", "image", "resources", "volumeMounts"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9-]+$"},
        "image": {"type": "string"},
        "env": {"type": "array", "items": {"required": ["name", "value"], "properties": {"value": {"type": "string"}}}},
        "resources": {"type": "object", "additionalProperties": {"additionalProperties": {"type": "string"}}},
        "volumeMounts": {"type": "array", "items": {"required": ["name", "mountPath"]}},
    },
}
GROUP = {
    "required": ["rayStartParams", "template"],
    "properties": {
        "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
        "template": {
            "required": ["spec"],
            "properties": {"spec": {"properties": {"containers": {"type": "array", "items": CONTAINER}}}},
        },
    },
}
RAY_JOB = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": {"required": ["name"]},
        "spec": {
            "required": ["entrypoint", "rayClusterSpec"],
            "additionalProperties": False,
            "properties": {
                "entrypoint": {"type": "string"},
                "backoffLimit": {"type": "integer"},
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": {"type": "integer"},
                "rayClusterSpec": {
                    "required": ["headGroupSpec", "workerGroupSpecs"],
                    "additionalProperties": False,
                    "properties": {
                        "rayVersion": {"type": "string"},
                        "headGroupSpec": GROUP,
                        "workerGroupSpecs": {
                            "type": "array",
                            "items": {
                                **GROUP,
                                "required": ["groupName", "replicas", "minReplicas", "maxReplicas", *GROUP["required"]],
                            },
                        },
                    },
                },
            },
        },
    },
}


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def test_the_cluster_of_the_launcher_is_one_by_rays_schema() -> None:
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(read("ray-cluster.yaml"), schema)


def test_the_job_for_kubernetes_has_the_form_of_a_rayjob() -> None:
    jsonschema.validate(read("rayjob.yaml"), RAY_JOB)


def test_every_pod_of_the_job_for_kubernetes_mounts_what_it_declares() -> None:
    spec = read("rayjob.yaml")["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]} == {"shared"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_the_script_for_slurm_is_valid_shell_and_asks_for_the_settings() -> None:
    script = FOLDER / "slurm.sh"
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""
    without = subprocess.run(["bash", script], capture_output=True, text=True)
    assert (without.returncode, without.stderr) == (2, "usage: sbatch slurm.sh SETTINGS.yaml [OPTION ...]\n")


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "slurm.sh", "rayjob.yaml"])
def test_the_commands_in_each_file_are_ones_that_prepare_takes(name: str) -> None:
    from typer.main import get_command

    from sftdata.cli.app import app

    known = {option for one in get_command(app).commands["prepare"].params for option in one.opts}  # type: ignore[attr-defined]
    text = (FOLDER / name).read_text(encoding="utf-8")
    commands = re.findall(r"sftdata prepare [^'\n]*", text.replace('"$@"', "prepare.yaml"))
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert {word for word in words if word.startswith("--")} == {"--engine", "--ray-address"} <= known
        assert words[words.index("--engine") + 1] == "ray"
