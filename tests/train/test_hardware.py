"""What sfttrain makes of the machine it runs on."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sftdata.errors import ConfigError
from sfttrain.cli.app import app
from sfttrain.hardware import Process, check_devices, cpu_has_bfloat16, this_process


def test_a_process_without_a_launcher_is_alone(monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert this_process() == Process(rank=0, local_rank=0, world_size=1)
    assert this_process().is_main


def test_a_launched_process_is_what_its_environment_says(monkeypatch: pytest.MonkeyPatch):
    for name, value in (("RANK", "5"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    assert this_process() == Process(rank=5, local_rank=1, world_size=8)
    assert not this_process().is_main


@pytest.mark.parametrize(
    "arguments", [["eval", "run"], ["export", "run", "--out", "model"], ["chat", "run"]], ids=["eval", "export", "chat"]
)
def test_a_command_that_runs_in_one_process_is_refused_in_several(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert done.stderr == (
        f"sfttrain: {arguments[0]}: runs in one process, and 2 were started; "
        "start it without torchrun or accelerate launch\n"
    )


def test_one_process_where_accelerate_was_asked_for_several_is_refused(monkeypatch: pytest.MonkeyPatch):
    """What `accelerate launch --cpu --num_processes 2` sets, whatever its file says of FSDP."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    check_devices()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(ConfigError, match="was asked for several processes, and starts one"):
        check_devices()
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_devices()


def test_bfloat16_is_for_cpus_with_instructions_for_it(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f\n")
    assert not cpu_has_bfloat16(cpuinfo)
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n")
    assert cpu_has_bfloat16(cpuinfo)
    assert not cpu_has_bfloat16(tmp_path / "absent")
