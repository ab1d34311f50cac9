"""Saving the trained model, with the dataset's tokenizer and template."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from sfttrain.data import Shards
from sfttrain.model import add_stop_ids
from sfttrain.run_folder import SAVING, RunFolder

if TYPE_CHECKING:
    from sfttrain.trainer.packed import PackedTrainer


def save_model(trainer: PackedTrainer, shards: Shards, folder: RunFolder) -> list[str]:
    """Save the model or adapter, and copy the dataset's tokenizer and template unchanged; the names of the files.

    The files are written to a folder of their own and moved when all are complete, so that a run killed here leaves no
    partial model. All processes must call it; only the main process gets the names.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    add_stop_ids(model, shards.manifest.tokenizer.end_of_turn_ids)
    saving = folder.path / SAVING
    trainer.save_model(str(saving))
    if not folder.is_main:
        return []
    model.generation_config.save_pretrained(str(saving))
    for name in ("README.md", "training_args.bin"):  # an empty model card, and a pickle of what run.json says
        (saving / name).unlink(missing_ok=True)
    for path in shards.tokenizer.iterdir():
        shutil.copyfile(path, saving / path.name)
    files = sorted(path.name for path in saving.iterdir())
    for name in files:
        (saving / name).replace(folder.path / name)
    saving.rmdir()
    return files
