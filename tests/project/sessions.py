"""One shell and one Python for all blocks of a page, and how what they print is compared with what the page shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from documents import Block, steps

TIMEOUT = 600  # of a block, in seconds: for what hangs
# What differs from run to run, or from the real model to the small one of the tests. All else is as it is printed.
_WILD = [
    (re.compile(r"[\d,.]+ ?[kM]? ?(rows|tokens|tok|samples|sequences|steps)/s"), "<rate>"),
    (re.compile(r"\b\d[\d,.]* ?(s|ms|min|h|seconds|minutes)\b"), "<time>"),
    (re.compile(r"(?<=loss )-?\d[\d.e-]*"), "<loss>"),
    (re.compile(r"(?<=-> )\d+\.\d{2,}"), "<loss>"),
    (re.compile(r"(?<=packed, )\d+\.\d{2,}"), "<loss>"),
    (re.compile(r"[\d,]+ of [\d,]+ parameters, \w+, \w+, [\w: ]+;"), "<model>;"),
    (re.compile(r"[\d,]+ parameters, \w+, \w+, [\w: ]+;"), "<model>;"),
]
_PYTHON = """
import io, json, os, sys, traceback
answers = os.fdopen(int(sys.argv[1]), "w")
names = {"__name__": "__main__", "__builtins__": __builtins__}
sys.path.insert(0, "")
for line in sys.stdin:
    failed = False
    try:
        exec(compile(json.loads(line), "<block>", "exec"), names)
    except BaseException:
        traceback.print_exc()
        failed = True
    sys.stdout.flush()
    sys.stderr.flush()
    print(int(failed), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Printed:
    """What a block printed, and the exit code of its last command."""

    code: int
    stdout: str
    stderr: str

    @property
    def end(self) -> str:
        """The end of all of it, for messages."""
        return f"exit code {self.code}\n{self.stdout[-1500:]}\n{self.stderr[-3000:]}"


@dataclass
class Session:
    """What is done in a folder: the shell's variables and folder, and Python's names, stay from block to block."""

    folder: Path
    environment: dict[str, str]
    where: Path = field(init=False)
    _python: subprocess.Popen[str] | None = None
    _answers: int = -1

    def __post_init__(self) -> None:
        self.where = self.folder

    def run(self, block: Block) -> list[tuple[Printed, str | None]]:
        """Run a block: what it printed, and what it shows of that itself, as a console does."""
        if block.language == "python":
            return [(self.python(block.text), None)]
        if block.language == "bash":
            lines = [line for line in block.text.splitlines() if not line.startswith("make ")]
            return [(self.shell("\n".join(lines)), None)]
        return [(self.shell(command), shown) for command, shown in steps(block)]

    def shell(self, script: str) -> Printed:
        """Run commands up to the first that fails."""
        state = self.folder.parent / f"{self.folder.name}.state"
        ends = f"pwd >'{state}.pwd'; env -0 >'{state}'"
        run = subprocess.run(
            ["bash", "-c", f'set -eo pipefail\ntrap "{ends}" EXIT\n{script}'],
            cwd=self.where,
            env=self.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
        )
        pairs = [line.split("=", 1) for line in state.read_text(encoding="utf-8").split("\0") if "=" in line]
        self.environment = {name: value for name, value in pairs if name not in ("_", "SHLVL", "PWD", "OLDPWD")}
        self.where = Path(Path(f"{state}.pwd").read_text(encoding="utf-8").strip())
        return Printed(run.returncode, run.stdout, run.stderr)

    def python(self, code: str) -> Printed:
        """Run code in the page's Python."""
        files = [self.folder.parent / f"{self.folder.name}.{name}" for name in ("stdout", "stderr")]
        if self._python is None:
            self._start_python(files)
        assert self._python is not None and self._python.stdin is not None
        before = [len(file.read_bytes()) for file in files]
        print(json.dumps(code), file=self._python.stdin, flush=True)
        answer = os.read(self._answers, 100).decode().strip()
        printed = [file.read_bytes()[start:].decode("utf-8", "replace") for file, start in zip(files, before)]
        return Printed(int(answer or -1), *printed)

    def _start_python(self, files: list[Path]) -> None:
        read, write = os.pipe()
        python = shutil.which("python", path=self.environment["PATH"])
        assert python is not None
        stdout, stderr = (file.open("ab") for file in files)
        self._python = subprocess.Popen(
            [python, "-c", _PYTHON, str(write)],
            cwd=self.where,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[write],
            text=True,
            encoding="utf-8",
        )
        for opened in (stdout, stderr):
            opened.close()
        os.close(write)
        self._answers = read

    def close(self) -> None:
        """End the page's Python."""
        if self._python is not None:
            self._python.communicate(timeout=TIMEOUT)
            os.close(self._answers)


def environment_of(folder: Path) -> dict[str, str]:
    """No network, no isolated builds: what pip would fetch is what these tests run with. `folder` is for caches."""
    dropped = ("PIP_", "MAKE", "VIRTUAL", "COLUMNS", "LINES", "COV_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the other way round: it switches isolation off
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "HF_HOME": str(folder),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONUTF8": "1",
    }


def missing(shown: str, printed: list[Printed]) -> str | None:
    """The first line that a page shows and its commands did not print there; None if it shows what they printed.

    A line `...` stands for any lines. Both streams count, in either order.
    """
    stdout, stderr = ("".join(getattr(one, name) for one in printed) for name in ("stdout", "stderr"))
    tries = [_first_missing(_lines(shown), _lines(text)) for text in (stdout, stderr, stderr + stdout, stdout + stderr)]
    return None if None in tries else max((line for line in tries if line is not None), key=_lines(shown).index)


def _lines(text: str) -> list[str]:
    """Lines without what differs from run to run, and without the space around columns."""
    for pattern, name in _WILD:
        text = pattern.sub(name, text)
    return [re.sub(r"(?<=\S) {2,}", "  ", line.rstrip()) for line in text.strip("\n").split("\n")]


def _first_missing(shown: list[str], printed: list[str]) -> str | None:
    start = 0
    for part in _parts(shown):
        places = [at for at in range(start, len(printed) - len(part) + 1) if printed[at : at + len(part)] == part]
        if not places:
            return next((line for line in part if line not in printed[start:]), part[0])
        start = places[0] + len(part)
    return None


def _parts(lines: list[str]) -> list[list[str]]:
    """Lines cut at every `...`."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.strip() == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    return [part for part in parts if part]
