"""The documents for users: README.md and the pages of docs/, with their fenced blocks and tables.

How a block is written, and so what the tests do with it (test_documents.py, runner.py):

- `bash`, `python`: run, in the order of the page, in one shell and one Python for the whole page.
  A name that ends in a suffix (`python train.py`) writes the block into a file of that name, for a later command.
- `console`: lines that begin with `$ ` are run, and what is below each is what it prints.
- `text output`: what the block before it prints, or a part of it. A line `...` stands for any lines.
- `json`, `jsonl`, `csv`: named, a file that later blocks use; unnamed, rows that sftdata reads. `rendered` or `text`
  as the name reads them in that format; the name of a reason says why each row is dropped; `other` is no data.
- `yaml`: named, a settings file that later blocks use; unnamed, a part of one of `sftdata prepare`; `train`, a part of
  one of `sfttrain run`; `other` is none of them.
- `bash`, `console` and `python` with a name of NOT_RUN need what tests do not have. Their syntax, options and settings
  are checked.
- `bash exit 1`: its last command ends with this code.

The folder of a page is empty but for small models of the names in MODELS that the page has. A line
`<!-- folder: quickstart -->` says that it is the one that docs/quickstart.md leaves, `<!-- folder: checkout -->` that
it is a copy of the sources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_RUN = {
    "gpu": "a graphics card",
    "gpus": "several graphics cards",
    "hub": "the network: a hub, a bucket, or a registry",
    "cluster": "several machines",
    "server": "an inference server",
    "extra": "an extra of the package that the tests do without",
}
MODELS = {  # by the name in the documents, the folder of its tokenizer in the shared data
    "HuggingFaceTB/SmolLM2-135M-Instruct": "smollm2",
    "Qwen/Qwen3-0.6B": "qwen3",
    "meta-llama/Llama-3.1-8B-Instruct": "llama3",
}
DATA = {"json", "jsonl", "csv"}
CODE = {"bash", "console", "python"}
LANGUAGES = DATA | CODE | {"yaml", "text", "mermaid", "diff"}
_FENCE = re.compile(r"^```(\w*) ?(.*)\n((?:(?!```$).*\n)*?)```$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the name after it, its text, and the line where it begins."""

    language: str
    name: str
    text: str
    line: int

    @property
    def file(self) -> bool:
        """Whether it is a file of a page's folder."""
        return re.fullmatch(r"[\w.-]+\.\w+", self.name) is not None and self.language != "text"

    @property
    def runs(self) -> bool:
        """Whether it is run where it is."""
        return self.language in CODE and self.name not in NOT_RUN and not self.file

    @property
    def exit_code(self) -> int:
        """What its last command ends with."""
        found = re.fullmatch(r"exit (\d+)", self.name)
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Page:
    """A document."""

    path: Path

    @property
    def name(self) -> str:
        """How the tests call it: README, quickstart, ..."""
        return "index" if self.path == ROOT / "docs" / "README.md" else self.path.stem

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        """Its fenced blocks, in order."""
        return [
            Block(found[1], found[2], found[3], self.text.count("\n", 0, found.start()) + 1)
            for found in _FENCE.finditer(self.text)
        ]

    @property
    def prose(self) -> str:
        """What is in no block."""
        return _FENCE.sub("", self.text)

    @property
    def headings(self) -> set[str]:
        """The anchors of its headings, as forges make them."""
        titles = re.findall(r"^#+ (.*)$", self.prose, flags=re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    @property
    def folder(self) -> str:
        """Where its blocks run: the name of another page, `checkout`, or nothing for an empty folder."""
        found = re.search(r"^<!-- folder: (\w+) -->$", self.text, flags=re.MULTILINE)
        return found[1] if found else ""

    @property
    def runs(self) -> bool:
        """Whether it has blocks that are run."""
        return any(block.runs for block in self.blocks)

    def table(self, heading: str) -> list[list[str]]:
        """The cells of the first table after a line that starts with `heading`, without the line of its heads."""
        after = self.text[self.text.index(f"\n{heading}") :]
        lines = re.search(r"(?:^\|.*\n)+", after, flags=re.MULTILINE)
        assert lines is not None
        rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in lines.group().splitlines()]
        return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]

    def named(self, name: str) -> Block:
        """The block of a name."""
        (block,) = (block for block in self.blocks if block.name == name)
        return block


PAGES = {page.name: page for page in map(Page, [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])}


def commands(block: Block) -> list[str]:
    """The lines that a shell is given, those of a console without their `$ `; lines that end in a backslash joined."""
    text = block.text
    if block.language == "console":
        text = "\n".join(command for command, _ in steps(block))
    return text.replace("\\\n", " ").splitlines()


def steps(block: Block) -> list[tuple[str, str]]:
    """Each command of a console, with what is below it."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line.removeprefix('> ')}", "")
        else:
            assert found, f"a console begins with a command: {line}"
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found
