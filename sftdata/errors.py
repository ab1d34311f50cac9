"""Errors that a user can fix. Everything else is a bug in sftdata and keeps its traceback."""

from __future__ import annotations

import os

from sftdata.safe.addresses import mask_credentials, safe_address
from sftdata.safe.control_chars import one_line

_names: dict[str, str] = {}  # of folders that users know by another name, such as an address


def call_folder(folder: str, name: str) -> None:
    """Say what users call a folder: errors name it so."""
    _names[folder] = name


def with_known_names(text: str) -> str:
    """A text in which folders have the names by which users know them."""
    for folder, name in _names.items():
        text = text.replace(folder, name)
    return text


class SftDataError(Exception):
    """A problem with the user's input: where it is, what is wrong, and a hint on how to fix it.

    The command line prints it as one sentence and exits with code 1. Passwords and tokens in it are left out.
    """

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        where, what, hint = (with_known_names(text) for text in (where, what, hint))
        self.where = safe_address(where)
        self.what = mask_credentials(what)
        self.hint = mask_credentials(hint)
        super().__init__(f"{one_line(self.where)}: {self.what}" + (f"; {self.hint}" if self.hint else ""))

    def __reduce__(self) -> tuple[type[SftDataError], tuple[str, str, str]]:
        return type(self), (self.where, self.what, self.hint)


class ConfigError(SftDataError):
    """A setting that does not exist, is missing, or has an invalid value."""


class SourceError(SftDataError):
    """A source that does not exist, cannot be opened, or is not in the format that its name says."""


class TokenizerError(SftDataError):
    """A tokenizer that cannot be found or loaded."""


class TemplateError(SftDataError):
    """A chat template that cannot be found, cannot be compiled, or leaves nothing to train."""


class OutputError(SftDataError):
    """An output folder that cannot be written: it already exists, is locked or read-only, or the disk is full."""


class DatasetError(SftDataError):
    """A prepared dataset that is incomplete or inconsistent: no manifest, a wrong checksum, numbers that disagree."""


class NoSuchItemError(DatasetError, IndexError):
    """A number of a sequence or a sample that the dataset does not have."""


class NoSuchNameError(DatasetError, KeyError):
    """A name of a split, a source or a reason that the dataset does not have."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # a KeyError shows its message in quotes


class WorkerError(SftDataError):
    """A worker process that the operating system killed."""


def plural(noun: str, number: int) -> str:
    """A noun in the number that it has behind this one: `row`, `rows`."""
    return noun if number == 1 else f"{noun}s"


def pluralize(number: int, noun: str) -> str:
    """`1 sample`, `1,200 samples`."""
    return f"{number:,} {plural(noun, number)}"


def first_line(error: BaseException) -> str:
    """The first line of an error message, for messages that are many lines long."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_fault_of_library(error: BaseException) -> bool:
    """Whether a library failed, and nothing asked the program to stop. A panic of a library in Rust is no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def offline_switch() -> str | None:
    """The environment variable that keeps the libraries of the Hugging Face hub from the network; None if none does."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
    return next((name for name in names if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")), None)


def killed_worker() -> WorkerError:
    """The error for a worker that the operating system killed."""
    return WorkerError(
        "a worker process",
        "was killed by the operating system, most often because memory ran out",
        "use fewer --workers or a machine with more memory, and run the same command again",
    )


class ModelError(SftDataError):
    """A model that cannot be loaded, or does not fit the dataset."""
