"""A page that says what does not happen is found out: how pages are read, run and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from documents import Block, Page, commands, steps
from sessions import Printed, Session, environment_of, missing

PAGE = """# A page

<!-- folder: quickstart -->

## What it's for: `why`

```json chats.jsonl
{"prompt": "a"}
```

```console
$ echo one \\
> two
one two
$ false
```

| a | b |
| --- | --- |
| `x` | 1 \\| 2 |

```bash exit 3
sh -c 'exit 3'
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return Page(tmp_path / "page.md")


def test_the_parts_of_a_page_are_found(page: Page) -> None:
    data, console, ends = page.blocks
    assert data == Block("json", "chats.jsonl", '{"prompt": "a"}\n', 7)
    assert (data.file, data.runs) == (True, False)
    assert (console.file, console.runs, console.exit_code) == (False, True, 0)
    assert (ends.runs, ends.exit_code) == (True, 3)
    assert steps(console) == [("echo one \\\ntwo", "one two\n"), ("false", "")]
    assert commands(console) == ["echo one  two", "false"]
    assert page.headings == {"a-page", "what-its-for-why"}
    assert page.folder == "quickstart"
    assert page.table("| a") == [["x", "1 \\| 2"]]


@pytest.mark.parametrize(("language", "name"), [("bash", "gpu"), ("python", "hub"), ("bash", "run.sh"), ("text", "")])
def test_blocks_that_need_what_is_not_here_files_and_text_are_not_run(language: str, name: str) -> None:
    assert not Block(language, name, "", 1).runs


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        ("a  1\nb", None),
        ("b\nc 3 rows, 0.1 s", None),  # another time
        ("a  1\n...\nin 2 rows/s", None),  # another rate
        ("a    1", None),  # the space between columns follows the numbers in them
        ("a  2", "a  2"),
        ("a  1\nc 3 rows, 0.1 s", "a  1"),  # b is between them
        ("b\n...\na  1", "a  1"),  # the other way round
        ("c 4 rows, 0.1 s", "c 4 rows, <time>"),
        ("to stderr", None),
    ],
)
def test_what_a_page_shows_has_to_be_printed(shown: str, line: str | None) -> None:
    assert missing(shown, [Printed(0, "a  1\nb\nc 3 rows, 2.5 s\n", "in 9 rows/s\nto stderr\n")]) == line


def test_the_shell_keeps_its_folder_and_variables_and_stops_at_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    session = Session(folder, environment_of(tmp_path / "hf"))
    assert session.shell("export NAME='a b'\nmkdir in && cd in").code == 0
    assert session.shell('echo "$NAME"; pwd').stdout == f"a b\n{folder / 'in'}\n"
    failed = session.shell("false\necho not here")
    assert (failed.code, failed.stdout) == (1, "")
    assert session.shell("false | cat").code == 1


def test_python_keeps_its_names_and_says_what_failed(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    session = Session(folder, environment_of(tmp_path / "hf"))
    try:
        assert session.python("import os\nx = 'é'") == Printed(0, "", "")
        assert session.python("print(x)").stdout == "é\n"
        failed = session.python("print(1)\n1 / 0")
        assert (failed.code, failed.stdout) == (1, "1\n")
        assert "ZeroDivisionError" in failed.stderr
        assert session.python("print(x)").code == 0
    finally:
        session.close()
