"""What the command line does without a command."""

from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from sfttrain.cli.app import app


def test_the_command_line_loads_no_torch_before_it_trains():
    slow = "('torch', 'transformers', 'trl', 'datasets')"
    code = f"import sys, sfttrain.cli.app; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_that_of_the_distribution():
    import sftdata

    assert CliRunner().invoke(app, ["--version"]).output == f"sfttrain {sftdata.__version__}\n"


def test_python_m_sfttrain_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "sfttrain", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: sfttrain" in done.stdout
