"""What sfttrain makes of the machine it runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfttrain.hardware import Process, cpu_has_bfloat16, this_process


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


def test_bfloat16_is_for_cpus_with_instructions_for_it(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f\n")
    assert not cpu_has_bfloat16(cpuinfo)
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n")
    assert cpu_has_bfloat16(cpuinfo)
    assert not cpu_has_bfloat16(tmp_path / "absent")
