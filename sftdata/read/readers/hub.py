"""Datasets on the Hugging Face hub: which files hold a split. The only file of reading that imports datasets."""

from __future__ import annotations

import posixpath

from sftdata.errors import SourceError
from sftdata.read.units import Source


def split_files(dataset: str, source: Source) -> list[tuple[str, str]]:
    """(local path, name in the repository) of the files of one split, downloaded into the hub's cache.

    `dataset` is "ORG/NAME", with "@REVISION" behind it for a branch, tag or commit. Raises SourceError where there
    is no such dataset, subset or split, or no way to reach it.
    """
    import datasets

    name, _, revision = dataset.partition("@")
    try:
        builder = datasets.load_dataset_builder(name, source.subset, revision=revision or None)
    except (OSError, ValueError, RuntimeError) as error:
        what = " ".join(str(error).split())[:300]
        todo = "check the path: there is no such file or folder here either" if "://" not in source.path else "check it"
        raise SourceError(source.path, f"no dataset of the hub can be opened by this name ({what})", todo) from error
    by_split = {str(split): files for split, files in (builder.config.data_files or {}).items()}
    if source.split not in by_split:
        known = ", ".join(by_split) or "none with files of their own"
        raise SourceError(source.path, f"has no split {source.split}", f"set split to one of its own: {known}")
    urls = [str(url) for url in by_split[source.split]]
    try:
        paths = datasets.DownloadManager().download(urls)
    except (OSError, ValueError, RuntimeError) as error:
        raise SourceError(source.path, f"cannot be downloaded ({error})", "check the connection") from error
    base = posixpath.commonpath([posixpath.dirname(url) for url in urls])
    return [(str(path), posixpath.relpath(url, base)) for path, url in zip(paths, urls, strict=True)]
