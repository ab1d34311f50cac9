"""Saving checkpoints with a record, and the trained model with the dataset's tokenizer and template."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sftdata.errors import DatasetError, OutputError
from sftdata.files.atomic import write_bytes
from sftdata.files.no_code import json_without_code
from sftdata.store.manifest import Manifest
from sfttrain.checkpoints import finish_checkpoint, keep_last, remove_checkpoint, start_checkpoint
from sfttrain.config import TrainConfig
from sfttrain.data import TOKENIZER, Shards
from sfttrain.model import add_stop_ids
from sfttrain.run_folder import RunFolder

if TYPE_CHECKING:
    from sfttrain.trainer.packed import PackedTrainer

# Files that go along with a tokenizer: data alone.
DATA_SUFFIXES = (".json", ".jinja", ".txt", ".model", ".tiktoken")


def record_checkpoints(trainer: PackedTrainer, folder: RunFolder) -> None:
    """Have every checkpoint of the trainer recorded, and all but the last of them removed.

    Trainer itself would remove every folder whose name begins like that of a checkpoint.
    """
    limit, trainer.args.save_total_limit = trainer.args.save_total_limit, None

    @contextmanager
    def recorded(step: int) -> Iterator[None]:
        checkpoint = folder.checkpoint(step)
        if folder.is_main:
            start_checkpoint(checkpoint)
        trainer.accelerator.wait_for_everyone()
        try:
            yield
        except Exception:  # a full disk, above all
            with suppress(OutputError, OSError):
                remove_checkpoint(checkpoint)
            raise
        trainer.accelerator.wait_for_everyone()
        if folder.is_main:
            finish_checkpoint(checkpoint, folder.settings)
            keep_last(folder.path, limit, trainer.state.best_model_checkpoint)

    trainer.recorded_checkpoint = recorded


def save_model(
    trainer: PackedTrainer, shards: Shards, folder: RunFolder, config: TrainConfig, summary: Mapping[str, Any]
) -> dict[str, str]:
    """Save the model or adapter, and the dataset's tokenizer and templates; the files with their checksums.

    The files are written to a folder of their own and moved when all are complete, so that a run killed here leaves no
    partial model. All processes must call it; only the main process gets the files.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    add_stop_ids(model, shards.manifest.tokenizer.end_of_turn_ids)
    if not config.trust_remote_code and hasattr(model.config, "auto_map"):
        del model.config.auto_map  # transformers' own class was trained, and no other code goes along
    if trainer.is_fsdp_enabled:  # sharded, as checkpoints may be, Trainer would save no weights
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    saving = folder.saving
    try:
        trainer.save_model(str(saving))
        if not folder.is_main:
            return {}
        model.generation_config.save_pretrained(str(saving))
        for name in ("README.md", "training_args.bin"):  # an empty model card, and a pickle of what run.json says
            (saving / name).unlink(missing_ok=True)
        for name, data in tokenizer_files(shards):
            write_bytes(saving / name, data)
    except BaseException:
        if folder.is_main:
            shutil.rmtree(saving, ignore_errors=True)
        raise
    return folder.place_model(summary)


def tokenizer_names(manifest: Manifest) -> list[str]:
    """The files of the dataset's tokenizer that go along with the model, by their names in the model's folder.

    The model's own generation_config.json is there already, with the stop tokens that were trained. No program is
    copied, whatever a stranger put into the dataset.
    """
    prefix = f"{TOKENIZER}/"
    names = [entry.path.removeprefix(prefix) for entry in manifest.files if entry.path.startswith(prefix)]
    kept = [name for name in names if PurePosixPath(name).suffix.lower() in DATA_SUFFIXES]
    return [name for name in kept if name != "generation_config.json"]


def tokenizer_files(shards: Shards) -> Iterator[tuple[str, bytes]]:
    """The files of the dataset's tokenizer that go along with the model, without what names code in them.

    Raises DatasetError where one is no longer what the manifest lists.
    """
    checksums = {entry.path: entry.sha256 for entry in shards.manifest.files}
    for name in tokenizer_names(shards.manifest):
        path = Path(shards.tokenizer, name)
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != checksums[f"{TOKENIZER}/{name}"]:
            what = "was changed while a run trains on the dataset"
            raise DatasetError(str(path), what, "restore it, and continue from the last checkpoint with resume=true")
        if path.suffix.lower() == ".json":
            try:
                data = json_without_code(data)
            except ValueError as error:
                raise DatasetError(str(path), f"is not JSON ({error})", "prepare the dataset again") from error
        yield name, data
