"""The machine: this process among those of a launcher, its devices, and the dtype and attention that suit them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sftdata.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Process:
    """One of the processes that train together."""

    rank: int
    local_rank: int  # on this machine
    world_size: int

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0


def this_process() -> Process:
    """This process, as torchrun or `accelerate launch` describes it in the environment; alone without them."""
    return Process(
        rank=int(os.environ.get("RANK", 0)),
        local_rank=int(os.environ.get("LOCAL_RANK", 0)),
        world_size=int(os.environ.get("WORLD_SIZE", 1)),
    )


def check_alone(command: str, why: str = "") -> None:
    """Raise ConfigError where a launcher started several processes of a command that runs in one."""
    count = this_process().world_size
    if count > 1:
        what = f"runs in one process, and {count} were started{why}"
        raise ConfigError(command, what, "start it without torchrun or accelerate launch")


def check_devices() -> None:
    """Raise ConfigError where one process sees several GPUs, which TRL cannot use, or was started for several."""
    import torch

    on_cpus = os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    if on_cpus and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        what = "was asked for several processes, and starts one where it is to use CPUs (use_cpu, --cpu)"
        hint = "start it with `torchrun --nproc-per-node 2 -m sfttrain run ...`, or set num_processes to 1"
        raise ConfigError("accelerate launch", what, hint)
    count = torch.cuda.device_count()
    if count > 1 and "WORLD_SIZE" not in os.environ:
        hint = f"start it with `torchrun --nproc-per-node {count} -m sfttrain run ...`, or set CUDA_VISIBLE_DEVICES=0"
        raise ConfigError("this machine", f"one process sees {count} GPUs", hint)


def check_ways(*, quantize: bool, liger: bool) -> None:
    """Raise ConfigError where a way to train needs what this machine does not have."""
    import torch

    for is_on, setting, what, package, instead in (
        (quantize, "lora.quantize=nf4", "4-bit weights need", "bitsandbytes", "leave it out: LoRA without it"),
        (liger, "liger=true", "Liger's kernels need", "liger-kernel", "leave it out"),
    ):
        if is_on and not torch.cuda.is_available():
            raise ConfigError(setting, f"{what} a GPU, and there is none", f"{instead} trains here too")
        if is_on and find_spec(package.replace("-", "_")) is None:
            hint = f"`pip install {package}`, or {instead}"
            raise ConfigError(setting, f"{what} the package {package}, which is not installed", hint)


def has_gpu() -> bool:
    """Whether a CUDA device is here."""
    import torch

    return bool(torch.cuda.is_available())


def free_memory() -> int | None:
    """The bytes that this process may still take on its device; None where the system does not say.

    On a CPU, what Linux calls available, within the limit of a container, shared evenly by the processes of a launcher.
    """
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info(this_process().local_rank)[0])
    if torch.accelerator.is_available():
        return None
    known = [size for size in (_available(Path("/proc/meminfo")), _left(Path("/sys/fs/cgroup"))) if size is not None]
    return min(known) // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", 1))) if known else None


def _available(meminfo: Path) -> int | None:
    """MemAvailable of /proc/meminfo in bytes; None on other systems."""
    try:
        lines = meminfo.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _left(cgroup: Path) -> int | None:
    """What is left below the limit of a container, whose cache can be given back; None without a limit."""
    try:
        limit, used = int((cgroup / "memory.max").read_text()), int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):  # "max": no limit
        return None


def pick_dtype(name: str) -> str:
    """Resolve `auto`: bfloat16 where the hardware supports it natively, else float32.

    Other hardware computes bfloat16 many times slower than float32.
    """
    import torch

    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if cpu_has_bfloat16(Path("/proc/cpuinfo")) else "float32"


def cpu_has_bfloat16(cpuinfo: Path) -> bool:
    """Whether Linux lists bfloat16 instructions for the CPU; False on other systems, where float32 is safe."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return "amx_bf16" in flags or "avx512_bf16" in flags


def pick_attention(name: str, dtype: str) -> str | None:
    """Resolve `auto`: flash attention on a GPU that has it installed, else None, torch's best for the model."""
    import torch
    from transformers.utils import is_flash_attn_2_available

    if name != "auto":
        return name
    flash = torch.cuda.is_available() and dtype == "bfloat16" and is_flash_attn_2_available()
    return "flash_attention_2" if flash else None


def process_bytes(name: str) -> int | None:
    """A size of this process in bytes, as Linux says: VmRSS, what it holds, or VmHWM, its peak; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
