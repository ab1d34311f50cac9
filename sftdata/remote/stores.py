"""Stores by their addresses: the package that opens each, where its credentials belong, and what its errors mean.

Credentials come from the environment or from the files that a store's own tools read, and never from an address.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sftdata.errors import OutputError, SftDataError, SourceError
from sftdata.safe.addresses import carries_credentials, hide, safe_address


class _Store(NamedTuple):
    """A kind of store: the package that fsspec needs for it, and where credentials belong."""

    package: str
    credentials: str = ""


_S3 = _Store("s3fs", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or ~/.aws/credentials")
_GCS = _Store("gcsfs", "GOOGLE_APPLICATION_CREDENTIALS, or `gcloud auth application-default login`")
_AZURE = _Store("adlfs", "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and its key")
_STORES = {
    **dict.fromkeys(("http", "https"), _Store("aiohttp")),
    **dict.fromkeys(("s3", "s3a"), _S3),
    **dict.fromkeys(("gs", "gcs"), _GCS),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), _AZURE),
    **dict.fromkeys(("ssh", "sftp"), _Store("paramiko")),
    "smb": _Store("smbprotocol"),
    "webdav": _Store("webdav4"),
}
_OF_SERVER = {errno.EIO, errno.EBUSY, getattr(errno, "EREMOTEIO", 121)}  # for which a client gives up at last
_AGAIN = "run the same command again, which goes on where this one stopped"
# What the exceptions of stores' clients are called, in whatever module, that say the store did not answer in time.
_TIMEOUTS = {"TimeoutError", "FSTimeoutError", "ReadTimeoutError", "ConnectTimeoutError", "ServerTimeoutError"}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "TokenRetrievalError"}
_BROKEN = {"ClientPayloadError", "IncompleteRead", "IncompleteReadError", "ServerDisconnectedError", "HttpError"}


def is_url(path: str) -> bool:
    """Whether a path is on a remote store (`s3://`, `https://`, `memory://`), not on the local disk."""
    return "://" in path


def protocol_of(address: str) -> str:
    """The scheme of an address; of a chain such as `simplecache::s3://...`, that of its last part."""
    return address.rpartition("::")[2].partition("://")[0].lower()


def is_object_store(address: str) -> bool:
    """Whether the store takes no user, password or token from its addresses: S3, Google's and Azure's."""
    store = _STORES.get(protocol_of(address))
    return store is not None and bool(store.credentials)


def refuse_credentials(address: str, raised: type[SftDataError]) -> None:
    """Raise an error where an address carries a user and a password, or a token or a signature in its query."""
    if not carries_credentials(address):
        return
    store = _STORES.get(protocol_of(address))
    where = f"put them into {store.credentials}" if store and store.credentials else "put them into the environment"
    what = "has a password, a token or a signature in its address, and those are kept out of settings and datasets"
    raise raised(safe_address(address), what, f"take them out of the address, and {where}")


def refuse_other_address(address: str, raised: type[SftDataError]) -> None:
    """Raise an error where the address of a dataset, as it is written and shown, would be the one of another place."""
    if safe_address(address) == address:
        return
    what = "has a user, a # or another part in its address that is left out where addresses are written and shown"
    user = "user" if protocol_of(address) == "hdfs" else "username"
    variable = f"FSSPEC_{protocol_of(address).upper()}"
    hint = f'take it out of the address; a user can be named by {variable}=\'{{"{user}": "NAME"}}\' in the environment'
    raise raised(address, what, hint)


@contextmanager
def store_errors(address: str, raised: type[SftDataError] = SourceError, shown: str = "") -> Iterator[None]:
    """Turn any exception of a store's client into an error without credentials. Use only around calls of fsspec.

    `shown` is what is named in it, in place of the address.
    """
    try:
        yield
    except SftDataError:
        raise
    except Exception as error:  # noqa: BLE001 - the clients of HTTP, S3 and the hub share no base class
        # a cause would still show the credentials
        doing = "written" if issubclass(raised, OutputError) else "read"
        raise raised(shown or safe_address(address), *what_went_wrong(address, error, doing)) from None


def what_went_wrong(address: str, error: Exception, doing: str = "read") -> tuple[str, str]:
    """What a store's client says, without credentials, and what to do about it."""
    store = _STORES.get(protocol_of(address), _Store(""))
    names = {kind.__name__ for kind in type(error).__mro__}
    said = " ".join(hide(address, str(error)).split())
    if isinstance(error, ImportError):
        what = f"needs a package that is not installed ({store.package or said})"
        return what, f"pip install {store.package}" if store.package else "install it"
    reason = getattr(error, "strerror", None) or said or type(error).__name__
    reason = " ".join(hide(address, reason).split())
    if names & _TIMEOUTS:
        return f"the store did not answer in time ({said or type(error).__name__})", _AGAIN
    if names & _NO_CREDENTIALS or "credentials" in reason.lower():
        return f"cannot be reached without credentials ({reason})", f"put them into {store.credentials or 'place'}"
    if isinstance(error, FileNotFoundError):
        return "does not exist on the store", "check the address"
    if isinstance(error, PermissionError) and store.credentials:
        return f"access is denied ({reason})", f"check your permissions, and the credentials: {store.credentials}"
    number = error.errno if isinstance(error, OSError) else None
    if names & _BROKEN or isinstance(error, ConnectionError) or number in _OF_SERVER:
        return f"the store failed ({reason})", _AGAIN
    if isinstance(error, NotImplementedError):
        return f"is on a kind of store that cannot be {doing} like this", "name another store, or a folder"
    return f"cannot be {doing} ({reason})", "check the path and your permissions"
