"""Addresses and messages without credentials: what may be written into a file or shown.

A URL is written without the user and the password before its host, without its fragment, and with those parameters of
its query that are known to say what is read. So two URLs that differ in a token are written alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
MIN_SECRET_CHARS = 3  # shorter ones cannot be told from other text in a message
_HALVES = re.compile("[\ud800-\udfff]")
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]+://")  # which starts nowhere inside a word: linear time
_NESTED = re.compile(rf"({_SCHEME.pattern})[^/]*@")  # the user of an address inside the path of another
# A path of Python has one slash where an address had two, such as that of a folder which is none: http:/user:...@host.
_ONE_SLASH = re.compile(
    r"(?<![A-Za-z0-9+.-])((?:https?|s3a?|gcs|gs|s?ftp|ssh|abfss?|wasbs?|az|adl|hf|webdav|hdfs|smb|memory)(?:\+\w+)?:/"
    r"|[A-Za-z0-9+.-]{2,40}:/(?=[^/\s:@]{0,200}:[^/\s]{0,400}@))(?=[^/])"
)
_CHAIN = re.compile(rf"::(?={_SCHEME.pattern})")
# What stands before @ is the name of a container, or an organization and a repository.
_CONTAINERS, _REPOSITORIES = {"abfs", "abfss", "wasb", "wasbs", "az", "adl"}, {"github"}
_NO_PORT = re.compile(r"[^/?#\[\]@]*:(?!\d*(?:[/?#]|$))")
# Parameters that say what is read; every other one may be a credential.
_KEPT = {
    *("version", "versionid", "v", "ver", "rev", "revision", "ref", "branch", "tag", "commit", "generation"),
    *("split", "subset", "config", "name", "dataset", "lang", "language", "locale", "year", "month", "day", "date"),
    *("format", "type", "ext", "compression", "encoding", "alt", "raw", "dl", "download", "inline", "export"),
    *("file", "filename", "path", "prefix", "part", "shard", "page", "offset", "limit", "length", "start", "end"),
}
_PLAIN_VALUE = re.compile(r"[\w.,:/+~ %-]{0,100}")
_SECRET_NAME = r"(?:session|sid|token|key|sig|auth|pass|secret|cred)"
_PATH_PARAMETER = re.compile(rf";[\w.-]*{_SECRET_NAME}[\w.-]*=[^/?#;]*", re.IGNORECASE)
# Keys and tokens in the formats of those who give them out.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{12,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|(?:AKIA|ASIA|ABIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|ya29\.[\w-]{16,}|xox[a-z]-[\w-]{10,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|dapi[0-9a-f]{32}|eyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]+)?)"
)
# A name that says so, and what stands behind it: `AccountKey=...`, `"password": "..."`, `Authorization: Bearer ...`.
_NAMED = re.compile(
    r"((?:pass(?:word|wd|phrase)|\bpwd|secret"
    r"|(?:account|access|api|private|shared|storage|subscription)[_-]?key(?:[_-]?id)?"
    r"|(?:access|auth|refresh|id|sas|session|security|bearer|hf|hub|github|api)[_-]?token|signature|\bsig|credentials?"
    r"|\btoken)[\"']?(?:=|[\"']\s?[:=]\s?)[\"']?)(?!\*\*\*)[^\s\"',;&)}\]]+"
    r"|(\bauthorization[\"']?\s?[:=]\s?[\"']?)(?!\*\*\*)(?:(?:basic|bearer|token|digest|aws4-hmac-sha256)\s+)?[^\s\"',)}\]]+"
    r"|(\bbearer\s)(?!\*\*\*)[\w.~+/=-]{12,}",
    re.IGNORECASE,
)
_MAY_NAME = re.compile(r"[=:_-]|AKIA|ASIA|ABIA|AIza|ya29|eyJ|dapi|earer")  # what any of these contains
# In running text: an address up to a space or a quotation mark, and a path with a query, such as `/data?token=...`.
_RUN = re.compile(rf"{_SCHEME.pattern}(?:[^\s/]*@)?[^\s\"'<>`]*")
_PATH_QUERY = re.compile(r"(?<![\w:/])(/[^\s?#\"'<>`]{0,2000})\?(?=[\w.~-]+=)[^\s\"'<>`)]*")
_BEHIND = ").,:;?!]}"  # punctuation that is not of the address before it
_USER = re.compile(r"(?<![\w/@.-])[^\s:/@\"'(]{1,200}:[^\s@\"']{1,400}@(?=[\w\[])")


def safe_address(address: str) -> str:
    """An address as it may be written: a URL without credentials; anything else as it is.

    Addresses inside addresses, as in `simplecache::https://...` or behind a setting, are cleaned too.
    """
    before, urls = _urls(_ONE_SLASH.sub(r"\1/", address))
    return _TOKEN.sub(MASK, before + "::".join(map(_without_credentials, urls))) if urls else address


def written_address(address: str) -> str:
    """A safe address as a file can hold it: parts of the name of a local file may be no UTF-8, and are replaced."""
    return _HALVES.sub("\ufffd", safe_address(address))


def mask_credentials(text: str) -> str:
    """A message without credentials: those in URLs, those behind a name, as in `AccountKey=`, and known tokens."""
    if ":/" in text:
        text = _ONE_SLASH.sub(r"\1/", text)
        text = _RUN.sub(_safe_run, text)
    if "?" in text:
        text = _PATH_QUERY.sub(lambda match: match[1] + _query_kept(match[0][len(match[1]) + 1 :]), text)
    if not _MAY_NAME.search(text):
        return text
    text = _NAMED.sub(lambda match: f"{match[1] or match[2] or match[3]}{MASK}", text)
    return _TOKEN.sub(MASK, text)


def hide(address: str, text: str) -> str:
    """What a library says of an address, without the credentials in that address, however it writes them."""
    shown = safe_address(address)
    if shown != address:
        text = text.replace(address, shown)
        for secret in sorted(set(_secrets_in(address)), key=len, reverse=True):
            text = text.replace(secret, MASK)
    return mask_credentials(_USER.sub(f"{MASK}@", text))


def carries_credentials(address: str) -> bool:
    """Whether an address has a user with a password, or a parameter or another part that may be a token.

    The name of a container (`abfs://CONTAINER@ACCOUNT...`) or of a user alone (`sftp://USER@HOST`) is none.
    """
    for url in _urls(_ONE_SLASH.sub(r"\1/", address))[1]:
        scheme, rest = _split(url)
        user, rest = _split_user(scheme, rest)
        path, query, _ = _split_query(scheme, rest)
        if ":" in user or any(not _is_kept(pair) for pair in re.split(r"[&;]", query) if pair):
            return True
        if _PATH_PARAMETER.search(path) or _NESTED.search(path):
            return True
    return bool(_TOKEN.search(address))


def _urls(address: str) -> tuple[str, list[str]]:
    """What stands before the first URL in an address, and the URLs, which `::` joins."""
    first = _SCHEME.search(address)
    return (address, []) if first is None else (address[: first.start()], _CHAIN.split(address[first.start() :]))


def _without_credentials(url: str) -> str:
    """One URL. A password with a `/` in it cannot be told from a path, so all up to the last `@` is left out."""
    scheme, rest = _split(url)
    user, rest = _split_user(scheme, rest)
    keeps = (scheme in _CONTAINERS and ":" not in user) or scheme in _REPOSITORIES
    path, query, _ = _split_query(scheme, rest)
    kept = f"{user}@" if keeps and user else ""
    return f"{url[: len(scheme)]}://{kept}{_NESTED.sub(_scheme_of, _PATH_PARAMETER.sub('', path))}{_query_kept(query)}"


def _scheme_of(nested: re.Match[str]) -> str:
    return nested[1]


def _split(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    return scheme.lower(), rest


def _split_user(scheme: str, rest: str) -> tuple[str, str]:
    """What stands before the host, and the rest."""
    if rest.startswith("/") and scheme != "file":  # as stores write what they take for a path
        bare = rest.lstrip("/")
        user, after = _split_user(scheme, bare)
        return (user, f"{rest[: len(rest) - len(bare)]}{after}") if ":" in user else ("", rest)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    end = authority.rfind("@")
    if end < 0 and _NO_PORT.match(rest):  # a password with / ? or # in it
        end = rest.rfind("@")
    return (rest[:end], rest[end + 1 :]) if end >= 0 else ("", rest)


def _split_query(scheme: str, rest: str) -> tuple[str, str, str]:
    """Path, query and fragment. A `?` is a wildcard in an address of a store unless a name and `=` follow it."""
    rest, _, fragment = rest.partition("#")
    path, mark, query = rest.partition("?")
    is_wildcard = scheme not in ("http", "https") and not re.match(r"[\w.~-]+=", query) and re.search(r"[./*]", query)
    return (rest, "", fragment) if mark and is_wildcard else (path, query, fragment)


def _query_kept(query: str) -> str:
    """The parameters that are known to be none of a credential, with their `?`."""
    pairs = [pair for pair in re.split(r"[&;#]", query) if pair]
    kept = [pair for pair in pairs if _is_kept(pair)]
    return f"?{'&'.join(kept)}" if kept else ""


def _is_kept(pair: str) -> bool:
    name, mark, value = pair.partition("=")
    is_plain = _PLAIN_VALUE.fullmatch(value) is not None and _TOKEN.search(unquote(value)) is None
    return bool(mark) and name.lower() in _KEPT and is_plain


def _safe_run(match: re.Match[str]) -> str:
    """An address in running text, and the punctuation behind it."""
    run = match[0]
    at = len(run.rstrip(_BEHIND))
    return safe_address(run[:at]) + run[at:]


def _secrets_in(address: str) -> Iterator[str]:
    """The credentials in an address, as it has them and as others may write them."""
    found: list[str] = []
    urls = _urls(address)[1]
    for url in urls:
        scheme, rest = _split(url)
        user, rest = _split_user(scheme, rest)
        if not (scheme in _REPOSITORIES or (scheme in _CONTAINERS and ":" not in user)):
            found += [user, *user.split(":", 1)]
        path, query, fragment = _split_query(scheme, rest)
        found += [fragment, *_PATH_PARAMETER.findall(path), *_TOKEN.findall(path)]
        found += [pair.partition("=")[2] or pair for pair in re.split(r"[&;]", query) if not _is_kept(pair)]
        found += [pair.partition("=")[2] for pair in fragment.split("&")]
        urls += _urls(path)[1]
    for secret in found:
        for form in (secret, unquote(secret), unquote_plus(secret)):
            forms = (form, quote(form), quote(form, safe=""), quote_plus(form), repr(form)[1:-1])
            yield from (one for one in forms if len(one) >= MIN_SECRET_CHARS)
