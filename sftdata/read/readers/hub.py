"""Datasets on the Hugging Face hub: which files hold a split. The only module of `read` that imports datasets."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from sftdata.errors import SourceError, offline_switch
from sftdata.read.units import Source


def split_files(dataset: str, source: Source, split: str) -> list[tuple[str, str]]:
    """(local path, name in the repository) of the files of one split, downloaded into the hub's cache.

    `dataset` is "ORG/NAME" or "ORG/NAME@REVISION", with a branch, tag or commit. Raises SourceError if there is no such
    dataset, subset or split, or if it cannot be downloaded.
    """
    import datasets

    name, _, revision = dataset.partition("@")
    hint = "check the path: there is no such local file or folder either" if "://" not in source.path else "check it"
    by_split = _by_split(_builder(name, revision or None, source, "cannot be opened as a dataset of the hub", hint))
    if split not in by_split:
        known = ", ".join(by_split) or "none of its splits has files"
        raise SourceError(source.path, f"has no split {split}", f"set split to one that it has: {known}")
    urls = by_split[split]
    try:
        paths = datasets.DownloadManager().download(urls)
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(source.path, f"cannot be downloaded ({error})", "check the connection") from error
    base = posixpath.commonpath([posixpath.dirname(url) for url in urls])
    return [(str(path), posixpath.relpath(url, base)) for path, url in zip(paths, urls, strict=True)]


def local_splits(folder: str, source: Source) -> tuple[dict[str, list[str]], str, list[str]]:
    """The files of each split of a cloned repository whose README names them, the subset that they are of, and the
    other subsets. Raises SourceError if it has no such subset, or several and does not ask for one, or if the README
    cannot be followed.
    """
    hint = "set subset to one that the README names, or name the data files"
    builder = _builder(folder, None, source, "has a README whose configs cannot be followed", hint)
    subset = str(builder.config.name)
    return _by_split(builder), subset, [str(name) for name in builder.builder_configs if name != subset]


def _by_split(builder: Any) -> dict[str, list[str]]:
    """The files of each split, as the datasets library has found them."""
    return {str(split): [str(url) for url in urls] for split, urls in (builder.config.data_files or {}).items()}


def _builder(name: str, revision: str | None, source: Source, what: str, hint: str) -> Any:
    """What the datasets library knows of a dataset. `what` and `hint` say what went wrong if it fails."""
    import datasets

    try:
        return datasets.load_dataset_builder(name, source.subset, revision=revision)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        is_offline = isinstance(error, OSError) and not Path(name).exists()  # datasets raises ConnectionError there
        if is_offline and (switch := offline_switch()) is not None:
            missing = f"is not in the cache of the hub, and {switch} is set"
            if "://" not in source.path:
                missing = f"is neither a local file or folder nor in the cache of the hub, and {switch} is set"
            raise SourceError(source.path, missing, f"unset {switch} to download it, or check the name") from error
        why = " ".join(str(error).split()).partition(" Example of usage")[0]
        why = why.partition(" with any supported extension")[0][:300]
        raise SourceError(source.path, f"{what} ({why})", hint) from error
