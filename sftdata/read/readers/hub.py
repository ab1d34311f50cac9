"""Datasets on the Hugging Face hub: which files hold a split. The only module of `read` that imports datasets."""

from __future__ import annotations

import posixpath

from sftdata.errors import SourceError
from sftdata.read.units import Source


def split_files(dataset: str, source: Source) -> list[tuple[str, str]]:
    """(local path, name in the repository) of the files of one split, downloaded into the hub's cache.

    `dataset` is "ORG/NAME" or "ORG/NAME@REVISION", with a branch, tag or commit. Raises SourceError if there is no such
    dataset, subset or split, or if it cannot be downloaded.
    """
    import datasets

    name, _, revision = dataset.partition("@")
    try:
        builder = datasets.load_dataset_builder(name, source.subset, revision=revision or None)
    except (OSError, ValueError, RuntimeError) as error:
        what = " ".join(str(error).split())[:300]
        todo = (
            "check the path: there is no such local file or folder either" if "://" not in source.path else "check it"
        )
        raise SourceError(source.path, f"cannot be opened as a dataset of the hub ({what})", todo) from error
    by_split = {str(split): files for split, files in (builder.config.data_files or {}).items()}
    if source.split not in by_split:
        known = ", ".join(by_split) or "none of its splits has files"
        raise SourceError(source.path, f"has no split {source.split}", f"set split to one that it has: {known}")
    urls = [str(url) for url in by_split[source.split]]
    try:
        paths = datasets.DownloadManager().download(urls)
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(source.path, f"cannot be downloaded ({error})", "check the connection") from error
    base = posixpath.commonpath([posixpath.dirname(url) for url in urls])
    return [(str(path), posixpath.relpath(url, base)) for path, url in zip(paths, urls, strict=True)]
