"""The output folder: refused where it is taken, built aside, and put in place whole with the manifest last."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from sftdata import __version__
from sftdata.encode.records import RecordEncoder
from sftdata.encode.stage import BatchFacts
from sftdata.errors import DatasetError, OutputError
from sftdata.store.files import output_faults, write_bytes
from sftdata.store.manifest import (
    MANIFEST_NAME,
    ControlString,
    EncodingEntry,
    FileEntry,
    Manifest,
    TokenizerEntry,
    file_entry,
)

WORK_NAME = ".work"
TOOLS = ("datasets", "fastokens", "jinja2", "pyarrow", "tokenizers")


class Workspace:
    """OUT/.work while a dataset is made: `spool` for what is only needed meanwhile, `new` for the dataset itself.

    Used with `with`. Whatever ends the block early leaves no dataset behind, and an older one as it was.
    Raises OutputError where the folder holds a dataset and `overwrite` is off, holds something else, or cannot be
    written.
    """

    def __init__(self, out: str, *, overwrite: bool = False) -> None:
        if "://" in out:
            raise OutputError(out, "is an address, not a folder", "write to a local folder, and copy the dataset")
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
            try:
                self.spool.mkdir(parents=True)
            except FileNotFoundError as error:  # folders that nobody can make, such as those below /proc
                raise OutputError(str(self.out), "the folder cannot be made", "choose another output folder") from error
            self.new.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        if kind is not None and self._made and self.out.is_dir() and not any(self.out.iterdir()):
            self.out.rmdir()

    def _check_free(self) -> None:
        with output_faults(self.out):
            if self.out.is_file():
                raise OutputError(str(self.out), "is a file", "name a folder for the dataset")
            if not self.out.exists():
                return
            names = {entry.name for entry in self.out.iterdir()} - {WORK_NAME}
        if MANIFEST_NAME in names:
            if not self._overwrite:
                raise OutputError(
                    str(self.out), "holds a dataset already", "name another folder, or replace it with --overwrite"
                )
            try:
                Manifest.load(self.out)
            except DatasetError as error:
                what = f"holds a dataset that cannot be replaced ({error.where} {error.what})"
                raise OutputError(str(self.out), what, "name another folder, or remove it yourself") from error
        elif names:
            some = ", ".join(sorted(names)[:3])
            raise OutputError(str(self.out), f"is not empty and holds no dataset (it has {some})", "name a new folder")

    def refuse_sources(self, paths: Iterable[str]) -> None:
        """Raise OutputError where a file that is read lies in the output folder."""
        out = self.out.resolve()
        for path in paths:
            if "://" not in path and out in Path(path).resolve().parents:
                raise OutputError(str(self.out), f"{path}, a file of the sources, lies in it", "name another folder")

    def publish(self, manifest: Manifest) -> None:
        """Put the new dataset in place. The old manifest goes first and the new one comes last."""
        with output_faults(self.out):
            if (self.out / MANIFEST_NAME).exists():
                self._remove_old()
            for entry in manifest.listed_files():
                target = self.out / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                (self.new / entry.path).replace(target)
        manifest.save(self.out)

    def _remove_old(self) -> None:
        """Take away the old dataset's files, and nothing that is not listed as one of them."""
        listed = [Path(entry.path) for entry in Manifest.load(self.out).listed_files()]
        (self.out / MANIFEST_NAME).unlink()
        for path in listed:
            (self.out / path).unlink(missing_ok=True)
        for folder in sorted({parent for path in listed for parent in path.parents} - {Path()}, reverse=True):
            place = self.out / folder
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()


def write_tokenizer(folder: Path, encoder: RecordEncoder) -> list[FileEntry]:
    """The tokenizer and template as used, in a form that transformers loads too; their entries."""
    files, template = encoder.settings.files, encoder.template
    config = json.dumps(files.config(), indent=2, ensure_ascii=False) + "\n"
    texts = {"tokenizer.json": files.json, "tokenizer_config.json": config}
    if template.source:
        texts["chat_template.jinja"] = template.source
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


def encoding_entry(encoder: RecordEncoder, facts: BatchFacts) -> EncodingEntry:
    """What the manifest says of encoding: by what, what it met in the texts, and what it did to records."""
    hits = sorted(facts.hits.items(), key=lambda item: (-item[1], item[0]))
    return EncodingEntry(
        encoder=encoder.backend,
        control_strings=tuple(ControlString(string=text, role=role, count=n) for (text, role), n in hits),
        trailing_control=dict(sorted(facts.trailing.items(), key=lambda item: (-item[1], item[0]))),
        stripped_answers=facts.tally["stripped_answers"],
        split_conversations=facts.tally["split_conversations"],
        overlong_turns=facts.tally["overlong_turns"],
        cut_answers=facts.tally["cut_answers"],
    )


def describe_versions() -> dict[str, str]:
    """The versions of the tools that decide the bytes."""
    return {"sftdata": __version__, **{name: version(name) for name in TOOLS}}
