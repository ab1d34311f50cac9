"""`export`: a finished run in, a folder out that others serve. The whole of it, one line a step."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError
from sftdata.files.atomic import write_bytes
from sfttrain.export.card import Exported, model_card
from sfttrain.export.folder import check_free, whole_folder, write_record
from sfttrain.export.gguf.write import check_kind, write_gguf
from sfttrain.export.ollama import write_modelfile
from sfttrain.export.prompts import ARGUMENTS, trained_arguments
from sfttrain.export.source import GENERATION_CONFIG, Source, open_run, trained_ends
from sfttrain.run_folder import ADAPTER_CONFIG

CARD = "README.md"
DEFAULT_KIND = "q8_0"
GGUF_NAME = "model-{}.gguf"
OF_ADAPTER = (ADAPTER_CONFIG, "adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported: the folder, its stop tokens, and what should be said of it."""

    out: Path
    ends: tuple[tuple[int, str], ...]
    notes: tuple[str, ...] = ()


def export(
    run: str | Path,
    out: str | Path,
    *,
    merge: bool = False,
    gguf: str | None = None,
    ollama: bool = False,
    shards: str | None = None,
    base: str | None = None,
    overwrite: bool = False,
    on_step: Callable[[str], None] = lambda text: None,
) -> Export:
    """Write the model of a finished run to a folder: weights, tokenizer and template, stop tokens, and a card.

    `merge` makes one model of an adapter and its base. `gguf` is the type of the weights in a GGUF file beside them,
    which needs one model, so it merges too. `ollama` writes a Modelfile for that file, which is q8_0 where no type is
    given. The folder is complete or absent. Raises a subclass of SftDataError for what a user can put right.
    """
    from transformers import AutoTokenizer

    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    target = Path(out)
    check_free(target, overwrite=overwrite)
    gguf = DEFAULT_KIND if ollama and gguf is None else gguf
    if gguf is not None:
        check_kind(gguf)
    source = open_run(Path(run), shards=shards, base=base)
    merges = source.is_adapter and (merge or gguf is not None)
    notes: list[str] = []
    with whole_folder(target, overwrite=overwrite) as folder:
        on_step("copying the files of the run")
        _copy(source, folder, without=OF_ADAPTER if merges else ())
        dtype = None
        if merges:
            from sfttrain.export.merge import save_merged

            on_step("merging the adapter")
            dtype = save_merged(source, folder)
        ends = _write_stops(source, folder)
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        arguments = trained_arguments(None if source.shards is None else source.shards.manifest, tokenizer)
        name = target.resolve().name
        if gguf is not None:
            on_step(f"writing {GGUF_NAME.format(gguf)}")
            notes += write_gguf(folder, folder / GGUF_NAME.format(gguf), gguf, [id_ for id_, _ in ends], name)
        if gguf is not None and ollama:
            notes += write_modelfile(
                folder, GGUF_NAME.format(gguf), [text for _, text in ends], tokenizer, arguments.values
            )
        file = None if gguf is None else GGUF_NAME.format(gguf)
        exported = Exported(name, source.is_adapter and not merges, dtype, ends, file, arguments.note)
        write_bytes(folder / CARD, model_card(source, exported).encode("utf-8", "backslashreplace"))
        write_record(folder, {"dataset_hash": source.dataset_hash, ARGUMENTS: dict(arguments.values)})
    return Export(target, ends, (*_notes(source, exported), *notes))


def _copy(source: Source, folder: Path, *, without: tuple[str, ...]) -> None:
    """Copy the files that the run lists: the model or adapter, the tokenizer with every field, and the templates."""
    for name in source.files:
        if name not in without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.path / name, folder / name)


def _write_stops(source: Source, folder: Path) -> tuple[tuple[int, str], ...]:
    """Write generation_config.json with the ends of turns that were trained as its stop tokens; these, with texts."""
    from tokenizers import Tokenizer

    path = source.path / GENERATION_CONFIG
    settings: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    ends = trained_ends(source)
    if ends:
        settings["eos_token_id"] = list(ends)
    write_bytes(folder / GENERATION_CONFIG, (json.dumps(settings, indent=2) + "\n").encode())
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(str(source.path), "has no tokenizer.json", "train again on a dataset with its tokenizer")
    tokenizer = Tokenizer.from_file(str(file))
    return tuple((id_, tokenizer.id_to_token(id_) or "") for id_ in ends)


def _notes(source: Source, exported: Exported) -> list[str]:
    """What should be said of an export."""
    notes = []
    if source.shards is None:
        what = "the dataset is not where the run found it, so the card has its hash alone"
        notes.append(f"{what}; --shards says where it is")
    if exported.is_adapter:
        named = json.loads((source.path / ADAPTER_CONFIG).read_bytes()).get("base_model_name_or_path")
        if named and Path(str(named)).exists():
            notes.append(f"{ADAPTER_CONFIG} names the base by its folder on this machine; --merge needs no base")
    if exported.prompt_note is not None:
        notes.append(exported.prompt_note)
    if not exported.ends:
        notes.append("no end of a turn was trained, so the stop tokens are those of the base")
    return notes
