"""The output folder: refused where it is taken, built aside, and put in place whole with the manifest last."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from sftdata import __version__
from sftdata.encode.records import RecordEncoder
from sftdata.encode.stage import BatchFacts
from sftdata.errors import DatasetError, OutputError
from sftdata.store.files import output_faults, write_bytes
from sftdata.store.manifest import MANIFEST_NAME, FileEntry, Manifest, TokenizerEntry, file_entry

WORK_NAME = ".work"
TOOLS = ("datasets", "fastokens", "jinja2", "pyarrow", "tokenizers")


class Workspace:
    """OUT/.work while a dataset is made: `spool` for what is only needed meanwhile, `new` for the dataset itself.

    Used with `with`. Whatever ends the block early leaves no dataset behind, and an older one as it was.
    Raises OutputError where the folder holds a dataset and `overwrite` is off, holds something else, or cannot be
    written.
    """

    def __init__(self, out: str | Path, *, overwrite: bool = False) -> None:
        self.out = Path(out)
        self._overwrite = overwrite
        self._work = self.out / WORK_NAME
        self.spool = self._work / "spool"
        self.new = self._work / "new"
        self._made = not self.out.exists()

    def __enter__(self) -> Workspace:
        self._check_free()
        with output_faults(self.out):
            if self._work.exists():
                shutil.rmtree(self._work)
            self.spool.mkdir(parents=True)
            self.new.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        if kind is not None and self._made and self.out.is_dir() and not any(self.out.iterdir()):
            self.out.rmdir()

    def _check_free(self) -> None:
        if self.out.is_file():
            raise OutputError(str(self.out), "is a file", "name a folder for the dataset")
        if not self.out.exists():
            return
        with output_faults(self.out):
            names = {entry.name for entry in self.out.iterdir()} - {WORK_NAME}
        if MANIFEST_NAME in names:
            if not self._overwrite:
                raise OutputError(
                    str(self.out), "holds a dataset already", "name another folder, or replace it with --overwrite"
                )
        elif names:
            some = ", ".join(sorted(names)[:3])
            raise OutputError(str(self.out), f"is not empty and holds no dataset (it has {some})", "name a new folder")

    def publish(self, manifest: Manifest) -> None:
        """Put the new dataset in place. The old manifest goes first and the new one comes last."""
        with output_faults(self.out):
            if (self.out / MANIFEST_NAME).exists():
                self._remove_old()
            for entry in sorted(self.new.iterdir()):
                target = self.out / entry.name
                if target.is_dir():
                    shutil.rmtree(target)
                entry.replace(target)
        manifest.save(self.out)

    def _remove_old(self) -> None:
        """Take away the old dataset's files, and nothing that is not listed as one of them."""
        try:
            listed = [entry.path for entry in Manifest.load(self.out).listed_files()]
        except DatasetError:
            listed = []
        (self.out / MANIFEST_NAME).unlink()
        for path in listed:
            (self.out / path).unlink(missing_ok=True)
        for folder in {(self.out / path).parent for path in listed} - {self.out}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def write_tokenizer(folder: Path, encoder: RecordEncoder) -> list[FileEntry]:
    """The tokenizer and template as used, in a form that transformers loads too; their entries."""
    files, template = encoder.settings.files, encoder.template
    texts = {"tokenizer.json": files.json, "chat_template.jinja": template.source}
    texts["tokenizer_config.json"] = json.dumps(files.config(), indent=2, ensure_ascii=False) + "\n"
    if template.tool_source is not None:
        texts["additional_chat_templates/tool_use.jinja"] = template.tool_source
    for name, text in sorted(texts.items()):
        write_bytes(folder / "tokenizer" / name, text.encode())
    return [file_entry(folder, f"tokenizer/{name}") for name in sorted(texts)]


def tokenizer_entry(source: str, encoder: RecordEncoder, facts: BatchFacts) -> TokenizerEntry:
    """What the manifest says of the tokenizer, with all that proves the masks from the files alone."""
    return TokenizerEntry(
        source=source,
        sha256=encoder.settings.files.sha256,
        vocab_size=encoder.vocabulary.size,
        bos_id=encoder.id_of("bos_token"),
        eos_id=encoder.id_of("eos_token"),
        pad_id=encoder.id_of("pad_token"),
        end_of_turn_ids=encoder.end_ids,
        control_ids=tuple(sorted(encoder.facts.control.ids)),
        answer_control_ids=tuple(sorted(facts.answer_controls)),
        generation_prompts=tuple(sorted(facts.prompts)),
    )


def describe_versions() -> dict[str, str]:
    """The versions of the tools that decide the bytes."""
    return {"sftdata": __version__, **{name: version(name) for name in TOOLS}}
