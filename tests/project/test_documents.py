"""Blocks of README.md and docs/ that are not run are right too: data is read, settings are accepted, options exist."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module, util
from pathlib import Path
from typing import Any

import pytest
import typer
from documents import DATA, LANGUAGES, NOT_RUN, PAGES, ROOT, Block, Page, commands

EVERY = [pytest.param(page, id=page.name) for page in PAGES.values()]
NAMES = {  # what may be behind the language, besides names of files
    "bash": {"", *NOT_RUN},
    "console": {"", *NOT_RUN},
    "python": {"", *NOT_RUN},
    "text": {"", "output", "tree", "dataset", *NOT_RUN},
    "yaml": {"", "train", "other"},
    **{language: {"", "rendered", "text", "other"} for language in DATA},
    "mermaid": {""},
    "diff": {""},
}
BASE = {"tokenizer": "ORG/NAME", "sources": ["chats.jsonl"], "out": "shards"}
TRAIN_BASE = {"shards": "shards", "model": "ORG/NAME", "out": "run"}
WORDS = re.compile(r"&&|\|\||[|;&]")


def place(page: Page, block: Block) -> str:
    return f"{page.path.name}:{block.line}"


@pytest.mark.parametrize("page", EVERY)
def test_every_block_says_what_it_is(page: Page) -> None:
    from sftdata.reasons import REASONS

    for block in page.blocks:
        assert block.language in LANGUAGES, place(page, block)
        reason = block.language in DATA and block.name in REASONS
        ends = block.language in ("bash", "console") and block.exit_code
        assert block.file or reason or ends or block.name in NAMES[block.language], place(page, block)


@pytest.mark.parametrize("page", EVERY)
def test_output_is_shown_below_what_prints_it(page: Page) -> None:
    """Another block may be between them only if it is not run."""
    before: Block | None = None
    for block in page.blocks:
        if (block.language, block.name) == ("text", "output"):
            assert before is not None and before.runs, place(page, block)
        elif block.language in ("bash", "console", "python"):
            before = block


@pytest.mark.parametrize("page", EVERY)
def test_a_file_that_a_page_writes_is_used_by_it(page: Page) -> None:
    for block in page.blocks:
        if block.file:
            others = [other.text for other in page.blocks if other != block]
            assert any(block.name in text for text in others), place(page, block)


@pytest.mark.parametrize("page", EVERY)
def test_every_relative_link_leads_to_a_file_and_a_heading_in_it(page: Page) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", page.prose):
        path, _, anchor = "".join(link).partition("#")
        if "://" in path:
            continue
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), path
        assert target.is_relative_to(ROOT)
        assert not anchor or anchor in Page(target).headings, f"{path}#{anchor}"


@pytest.mark.parametrize("page", EVERY)
def test_settings_are_accepted(page: Page) -> None:
    from sftdata.config import parse_config
    from sftdata.settings.yaml_text import parse_yaml
    from sfttrain.config import parse_config as parse_train_config

    for block in page.blocks:
        if block.language == "yaml" and block.name != "other":
            settings = parse_yaml(block.text)
            assert isinstance(settings, dict), place(page, block)
            is_train = block.name == "train" or "shards" in settings
            if is_train:
                parse_train_config(settings if block.file else {**TRAIN_BASE, **settings}, (), place(page, block))
            else:
                parse_config(settings if block.file else {**BASE, **settings}, place(page, block))


def rows_of(block: Block) -> list[Any]:
    """The rows of a block of data: of `json` and `jsonl` one a line, or one document."""
    if block.language == "csv":
        return []
    try:
        rows = [json.loads(line) for line in block.text.splitlines()]
    except ValueError:
        document = json.loads(block.text)
        rows = document if isinstance(document, list) else [document]
    return rows


@pytest.mark.parametrize("page", EVERY)
def test_rows_are_read_as_the_page_says(page: Page) -> None:
    """Files are read by the page's own commands."""
    import sftdata
    from sftdata.reasons import REASONS

    unread = {name for name, (stage, _) in REASONS.items() if stage in ("read", "format")}
    for block in page.blocks:
        if block.language not in DATA:
            continue
        rows = rows_of(block)
        if block.file or block.name == "other":
            continue
        form = block.name if block.name in ("rendered", "text") else "auto"
        others = (
            [{"prompt": "What is a tide?", "completion": "The rise and fall of the sea."}] if form == "auto" else []
        )
        found = sftdata.check([*others, *rows], format=form, progress=False)
        counts = {one.kind: one.rows for one in found.findings}
        if block.name in REASONS:
            assert counts.get(block.name) == len(rows), (place(page, block), counts)
        else:
            assert unread & counts.keys() == set(), (place(page, block), counts)


def lines_of(page: Page) -> Iterator[tuple[str, list[str]]]:
    """The commands in a page's blocks for a shell, as words, with their place."""
    for block in page.blocks:
        if block.language in ("bash", "console"):
            for line in commands(block):
                words = shlex.split(line, comments=True)
                if words:
                    yield place(page, block), words


@pytest.mark.parametrize("page", EVERY)
def test_commands_are_written_as_a_shell_reads_them(page: Page) -> None:
    for block in page.blocks:
        if block.language in ("bash", "console"):
            script = "\n".join(commands(block))
            run = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
            assert run.returncode == 0, (place(page, block), run.stderr)


def invocation(words: list[str]) -> tuple[str, list[str]] | None:
    """The program of this project that a command starts, and its arguments; None if it starts none."""
    for at, word in enumerate(words):
        if word in ("sftdata", "sfttrain") and (at == 0 or words[at - 1] != "install"):
            arguments = words[at + 1 :]
            ends = [number for number, one in enumerate(arguments) if WORDS.fullmatch(one) or one in (">", "2>&1")]
            return word, arguments[: ends[0]] if ends else arguments
    return None


def command_of(program: str, arguments: list[str]) -> tuple[Any, list[str]]:
    """The command with the options, and the arguments behind its name."""
    from sftdata.cli.app import app as sftdata_app
    from sfttrain.cli.app import app as sfttrain_app

    command: Any = typer.main.get_command(sftdata_app if program == "sftdata" else sfttrain_app)
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        assert arguments[0] in command.commands, f"{program} {arguments[0]}"
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command, arguments


@pytest.mark.parametrize("page", EVERY)
def test_every_option_and_setting_of_a_command_exists(page: Page) -> None:
    from sftdata.config import Config
    from sftdata.settings.catalog import settings_of
    from sfttrain.config import TrainConfig

    for where, words in lines_of(page):
        found = invocation(words)
        if found is None:
            continue
        command, arguments = command_of(*found)
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        known |= {"--help", "-h", "--install-completion", "--show-completion"}
        options = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)}
        assert options - known == set(), where
        every = {one.key: one for one in settings_of(Config if found[0] == "sftdata" else TrainConfig)}
        takes_value = {option for param in command.params for option in param.opts if not getattr(param, "is_flag", 1)}
        words = [word for before, word in zip(["", *arguments], arguments) if before not in takes_value]
        keys = [match[1] for word in words if (match := re.match(r"([a-z_]+(?:\.\w+)*)=", word))]
        for key in keys:
            parts = [part for part in key.split(".") if not part.isdigit()]
            mapping = every.get(".".join(parts[:-1]))
            assert ".".join(parts) in every or (mapping is not None and mapping.kind == "a mapping"), (where, key)


@pytest.mark.parametrize("page", EVERY)
def test_python_is_written_in_python_and_what_it_imports_from_here_exists(page: Page) -> None:
    for block in page.blocks:
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.partition(".")[0] in ("sftdata", "sfttrain"):
                        assert util.find_spec(alias.name) is not None, place(page, block)
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("sftdata", "sfttrain"):
                module = import_module(str(node.module))
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert missing == [], place(page, block)


def test_every_page_is_in_the_index() -> None:
    index = PAGES.get("index")
    if index is None:
        pytest.skip("docs/README.md is not written yet")
    links = set(re.findall(r"\]\(([\w.]+\.md)", index.text))
    assert {page.path.name for page in PAGES.values() if page.path.parent == index.path.parent} - {"README.md"} == links


def test_the_documents_are_in_plain_words(shared: Path) -> None:
    """A list of turns of phrase that make a reader stop."""
    tool = shared / "tools" / "plain_words.py"
    if not tool.is_file():
        pytest.skip("the list of words is not here")
    run = subprocess.run(
        [sys.executable, tool, *(page.path for page in PAGES.values())], capture_output=True, text=True
    )
    assert run.stdout.strip() == "0 places"
