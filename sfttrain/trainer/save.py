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
    """Save the model or adapter, and copy the dataset's tokenizer and templates unchanged; the names of the files.

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
    # The model's own generation_config.json is there already, with the stop tokens that were trained.
    not_copied = shutil.ignore_patterns("generation_config.json")
    shutil.copytree(shards.tokenizer, saving, ignore=not_copied, dirs_exist_ok=True, copy_function=shutil.copyfile)
    files = sorted(path.relative_to(saving).as_posix() for path in saving.rglob("*") if path.is_file())
    for name in files:
        (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
        (saving / name).replace(folder.path / name)
    shutil.rmtree(saving)
    return files
