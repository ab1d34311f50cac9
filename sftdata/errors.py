"""What can go wrong that a user can put right. Everything else is a bug of ours and keeps its traceback."""

from __future__ import annotations


class SftDataError(Exception):
    """A fault in what the user gave us: where it is, what it is, and what to do about it.

    The command line prints it in one sentence and exits with code 1.
    """

    def __init__(self, where: str, what: str, hint: str = "") -> None:
        self.where = where
        self.what = what
        self.hint = hint
        super().__init__(f"{where}: {what}" + (f"; {hint}" if hint else ""))

    def __reduce__(self) -> tuple[type[SftDataError], tuple[str, str, str]]:
        return type(self), (self.where, self.what, self.hint)


class ConfigError(SftDataError):
    """A setting that does not exist, is missing, or has a value it cannot have."""


class SourceError(SftDataError):
    """A source that is not there, cannot be opened, or is not what its name says."""


class TokenizerError(SftDataError):
    """A tokenizer that cannot be found or loaded."""


class TemplateError(SftDataError):
    """A chat template that cannot be found, compiled, or used to train anything."""


class OutputError(SftDataError):
    """An output folder that cannot be written: it exists, is locked, is read-only, or the disk is full."""


class DatasetError(SftDataError):
    """A prepared dataset that is not whole: no manifest, a wrong checksum, a fact that does not hold."""


class WorkerError(SftDataError):
    """A worker process that the operating system ended."""


def killed_worker() -> WorkerError:
    """What to say where the system ended a worker."""
    return WorkerError(
        "a worker process",
        "was ended by the system, most often because memory ran out",
        "use fewer --workers or a machine with more memory, and run the same command again",
    )


class ModelError(SftDataError):
    """A model that cannot be loaded, or does not fit the dataset."""
