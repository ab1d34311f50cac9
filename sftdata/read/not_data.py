"""Files and folders that no one means as data, by their names: caches, checkpoints, models, metadata, hidden files."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Collection, Mapping
from typing import Any

# Patterns of file names, in lower case -> what such a file is.
_PATTERNS = (
    (".*", "is a hidden file"),
    ("~$*", "is a lock file of a spreadsheet program"),
    ("*~", "is a backup file of an editor"),
    ("cache-*.arrow", "is a cache file of the datasets library"),
    ("*indices*.arrow", "is an indices file of a saved Dataset"),
    ("*.safetensors.index.json", "is the index of a model's weights"),
    ("*.bin.index.json", "is the index of a model's weights"),
)
_DATASET_INFO = "is metadata of a dataset"
_MODEL = "is a file of a model or tokenizer"
_TRAINING = "is a file of a training run"
_NAMES = {
    **dict.fromkeys(("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"), _DATASET_INFO),
    **dict.fromkeys(
        (
            "adapter_config.json",
            "added_tokens.json",
            "chat_template.json",
            "config.json",
            "config_sentence_transformers.json",
            "generation_config.json",
            "model_index.json",
            "modules.json",
            "preprocessor_config.json",
            "processor_config.json",
            "quantization_config.json",
            "quantize_config.json",
            "sentence_bert_config.json",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "video_preprocessor_config.json",
            "vocab.json",
        ),
        _MODEL,
    ),
    **dict.fromkeys(
        ("all_results.json", "eval_results.json", "train_results.json", "trainer_state.json", "training_args.json"),
        _TRAINING,
    ),
}
_CHECKPOINT = re.compile(r"(checkpoint|global_step|tmp-checkpoint)-?\d+", re.IGNORECASE)
_FOLDERS = {"__pycache__", "__macosx", "node_modules"}
MANIFEST = "manifest.json"  # of a prepared dataset


def why_not_data(name: str) -> str | None:
    """What a file is that is never data, as the predicate of a sentence; None if it may be data."""
    base = posixpath.basename(name).lower()
    if base in _NAMES:
        return _NAMES[base]
    return next((what for pattern, what in _PATTERNS if fnmatch.fnmatchcase(base, pattern)), None)


def is_skipped_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or holds what programs made for themselves."""
    return name.startswith(".") or name.lower() in _FOLDERS


def is_checkpoint(name: str, files: Collection[str]) -> bool:
    """Whether a folder with this name and these files is a checkpoint of a training run."""
    return bool(_CHECKPOINT.fullmatch(name)) or "trainer_state.json" in files


def is_prepared(manifest: object) -> bool:
    """Whether this is the manifest of a dataset that sftdata has prepared."""
    return isinstance(manifest, Mapping) and _has_keys(manifest)


def _has_keys(manifest: Mapping[str, Any]) -> bool:
    return {"dataset_hash", "shards", "ledger"} <= manifest.keys()
