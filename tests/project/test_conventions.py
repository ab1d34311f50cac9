"""How large files, folders and functions may be, what modules are not called, and what no module does."""

from __future__ import annotations

import ast
import re

import pytest
from package_files import ROOT, module_name, package_files

MAX_FILE_LINES = 400
MAX_FOLDER_FILES = 12  # not counting __init__.py
MAX_FUNCTION_LINES = 60  # of code
LONG_FUNCTIONS: set[str] = set()  # the exceptions
# Handmade process management, and modules that replace others.
FORBIDDEN = {
    "os.fork": r"\bos\.fork\b",
    "os._exit": r"\bos\._exit\b",
    "prctl": r"prctl",
    "sys.meta_path": r"\bsys\.meta_path\b",
    "gc.set_threshold": r"\bgc\.set_threshold\b",
    "sys.modules is changed": r"\bsys\.modules(\[[^\]]*\]\s*=[^=]|\.(update|setdefault|pop|clear|__setitem__)\b)",
}
# In processes that run nothing of a caller's: workers, and the command line.
ALLOWED = {("sftdata/engines/local.py", "gc.set_threshold"), ("sftdata/cli/app.py", "gc.set_threshold")}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """The lines of a function that hold code: no docstring, comment or blank line."""
    first = function.body[0]
    is_documented = ast.get_docstring(function) is not None
    docstring = range(first.lineno, (first.end_lineno or 0) + 1) if is_documented else range(0)
    return sum(
        number not in docstring and lines[number - 1].strip() != "" and not lines[number - 1].lstrip().startswith("#")
        for number in range(function.lineno, (function.end_lineno or 0) + 1)
    )


def test_lines_of_code_are_counted_without_docstrings_comments_and_blank_lines() -> None:
    source = 'def f(\n    x,\n):\n    """Says\n    much.\n    """\n\n    # why\n    return [\n        x,\n    ]\n'
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert code_lines(function, source.splitlines()) == 6


def test_no_file_is_too_long() -> None:
    lengths = {str(path.relative_to(ROOT)): len(text.splitlines()) for path, text in package_files().items()}
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_no_folder_has_too_many_files() -> None:
    folders = [str(path.parent.relative_to(ROOT)) for path in package_files() if path.name != "__init__.py"]
    assert {folder for folder in folders if folders.count(folder) > MAX_FOLDER_FILES} == set()


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{module_name(path)}.{node.name}": code_lines(node, text.splitlines())
        for path, text in package_files().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == LONG_FUNCTIONS


def test_no_module_has_the_name_of_a_standard_one() -> None:
    names = {path.stem for path in package_files()}
    assert names & {"tokenize", "token", "inspect", "types", "copy", "code", "io", "json", "random"} == set()


def test_no_file_makes_processes_by_hand_or_replaces_a_module() -> None:
    found = {
        (str(path.relative_to(ROOT)), what)
        for path, text in package_files().items()
        for what, pattern in FORBIDDEN.items()
        if re.search(pattern, text)
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("os.fork()", True),
        ("forkserver.ensure_running()", False),
        ('sys.modules["numpy"] = stand_in', True),
        ("sys.modules[name]=stand_in", True),
        ("sys.modules.setdefault(name, stand_in)", True),
        ('main = sys.modules["__main__"]', False),
        ("if sys.modules[name] == found:", False),
    ],
)
def test_the_patterns_find_what_they_are_for(line: str, is_found: bool) -> None:
    assert any(re.search(pattern, line) for pattern in FORBIDDEN.values()) == is_found
