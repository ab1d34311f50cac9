"""Runs the pages of the documents in folders of their own, and says what is not as they say."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from documents import MODELS, PAGES, ROOT, Page
from sessions import Printed, Session, missing

SOURCES = ("sftdata", "sfttrain", "templates", "examples", "Makefile", "constraints.txt", "pyproject.toml", "LICENSE")


@dataclass
class Runner:
    """Runs pages, each once, in folders below `folder`. `tokenizers` has those of the shared data, where it is here."""

    folder: Path
    tokenizers: Path | None
    tiny: Path
    environment: dict[str, str]
    done: dict[str, list[str]] = field(default_factory=dict)

    def problems(self, page: Page) -> list[str]:
        """What is not as the page says."""
        if page.name not in self.done:
            self.done[page.name] = []
            self.done[page.name] = list(self._run(page))
        return self.done[page.name]

    def _run(self, page: Page) -> Iterator[str]:
        folder = self.folder / page.name
        self._prepare(page, folder)
        session = Session(folder, self.environment)
        printed: list[Printed] = []
        try:
            for block in page.blocks:
                place = f"{page.path.name}:{block.line}"
                if block.file:
                    (folder / block.name).write_text(block.text, encoding="utf-8")
                elif block.runs:
                    results = session.run(block)
                    printed = [one for one, _ in results]
                    if printed[-1].code != block.exit_code:
                        yield f"{place}: {printed[-1].end}"
                        return
                    for one, shown in results:
                        yield from self._compare(place, shown or "", [one])
                elif (block.language, block.name) == ("text", "dataset"):
                    yield from (
                        f"{place}: {path} is not there" for path in listed(block.text) if not (folder / path).exists()
                    )
                elif (block.language, block.name) == ("text", "output"):
                    yield from self._compare(place, block.text, printed)
        finally:
            session.close()

    def _compare(self, place: str, shown: str, printed: list[Printed]) -> Iterator[str]:
        """Nothing is compared without the tokenizers that the pages name: the numbers would be others."""
        line = missing(shown, printed) if shown.strip() and self.tokenizers else None
        if line is not None:
            yield f"{place}: not printed: {line!r}\n" + "".join(one.stderr + one.stdout for one in printed)

    def _prepare(self, page: Page, folder: Path) -> None:
        """Make the folder that the page's blocks run in."""
        if page.folder == "checkout":
            folder.mkdir()
            for name in (*SOURCES, "README.md"):
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, folder / name)
        elif page.folder:
            before = PAGES[page.folder]
            assert self.problems(before) == []
            left_out = shutil.ignore_patterns(".venv", *SOURCES)
            shutil.copytree(self.folder / before.name, folder, ignore=left_out, symlinks=True)
        else:
            folder.mkdir()
        for name, tokenizer in MODELS.items():
            if name in page.text and not (folder / name).exists():
                shutil.copytree(self._model(tokenizer), folder / name, copy_function=os.link)

    def _model(self, tokenizer: str) -> Path:
        """A folder with a tokenizer, that of the tests where the shared data is not here, and a model for it."""
        folder = self.folder / "models" / tokenizer
        if not folder.exists():
            shutil.copytree(self.tokenizers / tokenizer if self.tokenizers else self.tiny, folder)
            if tokenizer == "qwen3" and not self.tokenizers:  # pages have tools and reasoning for it
                shutil.copy(ROOT / "templates" / "qwen3.jinja", folder / "chat_template.jinja")
            make_model(folder)
        return folder


def listed(text: str) -> list[str]:
    """The paths of a folder that a page lists: the folder, and below it one a line, with what it is."""
    top, *lines = (line.split()[0] for line in text.splitlines())
    return [f"{top}{name}" for name in lines]


def make_model(folder: Path) -> None:
    """Write a small model beside a tokenizer, with weights at random."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        **sizes,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
