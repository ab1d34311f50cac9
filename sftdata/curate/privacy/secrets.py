"""Private keys and API keys, and the examples of them that documentation gives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sftdata.curate.privacy.domains import is_domain
from sftdata.curate.privacy.text import Span

# The formats are those that the vendors document, as collected in the rules of gitleaks and detect-secrets.
# Every key contains one of these strings, grouped by their rarest character, so most texts need no search.
_KEY_MARKS = {
    "_": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "k_live_", "k_test_", "hf_", "npm_"),
    "-": ("sk-", "xox", "xapp-", "glpat-", "GOCSPX-", "pypi-"),
    ".": ("SG.", "ya29.", "hooks.slack.com"),
    "I": ("AKIA", "ASIA", "ABIA", "AIza"),
}
_API_KEY = re.compile(
    r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))(?:"
    r"(?:AKIA|ASIA|ABIA)[A-Z0-9]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{70,100}|glpat-[A-Za-z0-9_-]{20,}"  # GitHub, GitLab
    r"|sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|sk-ant-[A-Za-z0-9_-]{20,}|sk-or-v1-[a-f0-9]{32,}"
    r"|sk-[A-Za-z0-9]{32,64}"  # OpenAI and those who adopted its format
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"  # Slack
    r"|AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{20,}"  # Google
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|hf_[A-Za-z]{30,40}|npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{50,}"
    r"|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"  # SendGrid
    r")(?![A-Za-z0-9_])"
    r"|(?<=hooks\.slack\.com/services/)T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,}"
)
# JSON web tokens: the second part and the third, because a search for the first would read on to the end from each `-`.
_TOKEN_BODY = re.compile(r"\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
_TOKEN_HEAD = re.compile(r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))eyJ[A-Za-z0-9_-]{10,}")
_TOKEN_RUN = re.compile(r"[^A-Za-z0-9_-]")
_AWS_SECRET = re.compile(
    r"secret_?(?:access_?)?key[\"']?\s{0,3}[:=]{1,2}>?\s{0,3}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])", re.I
)
# The password of a login in a URL. Words for it, the login's own name and machines without a name are no secrets.
_URL_PASSWORD = re.compile(
    r"://([^\s/:@\"'<>]{1,64}):(?!\S{0,20}(?:pass|pwd|secret|your|xxx|change|token|example|test))"
    r"([^\s/:@\"'<>{}$*%\[\]]{6,100})@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![\w.-])",
    re.IGNORECASE,
)
_MIN_DISTINCT = 10
# What marks a key as one that documentation gives: a word, x after x, the alphabet or the digits in order, the payload
# of the token that every page on JSON web tokens shows, and keys that vendors print.
_PLACEHOLDER = re.compile(
    r"example|place_?holder|redacted|change_?me|dummy|your[a-z]?[-_]|[-_]your|your(?:api|key|token|secret|access)"
    r"|(?:insert|replace|api[-_]?key|token)[-_]?here|x{6}|abcdefghij|0123456789|eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFt"
    r"|(?:sk|ghp|gho|hf)[-_](?:proj-)?1234567890|AKIA(?:1234567890|ABCDEFGH)"
    r"|sk_test_(?:4eC39HqLyjWDarjtT1zdp7dc|BQokikJOvBiI2HlWgH4olfQ2)|ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    re.IGNORECASE,
)

_LABEL = r"-{4,5} ?(?:BEGIN|END) (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
_KEY_EDGE = re.compile(_LABEL)
# Lines before the base64 of a key: Proc-Type: 4,ENCRYPTED and Version: GnuPG v2; line ends may be written as \n.
_LINE_END = r"(?:\s|\\{1,2}[nr])"
_KEY_HEADERS = re.compile(rf"(?:{_LINE_END}{{1,6}}[A-Z][A-Za-z-]{{2,20}}: (?:(?!\\{{1,2}}[nr])[^\n]){{1,120}}){{1,5}}")
# What stands between two lines of base64: white space, \n, quotes, + and the like, and signs that begin a line.
_BETWEEN = re.compile(r"(?:[\s\"'`+>|#*,;]|\\{1,2}[nrt]|\\\n|<br ?/?>|//){0,200}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DOTS = re.compile(r"\.{3}|…")
# Words and names: getPrivateKey, Base64EncodedKey, YOURKEY.
_WORDS = re.compile(r"[a-z]*(?:[A-Z][a-z]+|\d[a-z]*)*={0,2}\Z|[^a-z]+\Z|[^A-Z]+\Z")
_MIN_LINE, _MIN_LINE_IN_BLOCK, _FULL_LINE = 16, 8, 64


def private_keys(text: str) -> Iterator[Span]:
    """PEM and PGP private keys: BEGIN and the base64 behind it, to END, or to where the base64 stops.

    A sentence or a program that names BEGIN and END is none, nor is one that is cut to "MIIE...".
    """
    if "PRIVATE KEY" not in text:
        return
    edges = list(_KEY_EDGE.finditer(text))
    for index, edge in enumerate(edges):
        if "BEGIN" not in edge.group():
            continue
        follower = edges[index + 1] if index + 1 < len(edges) else None
        limit = follower.start() if follower else len(text)
        if follower and "END" in follower.group() and _is_body(text[edge.end() : limit]):
            yield edge.start(), follower.end()
        elif (end := _body_end(text, edge.end(), limit)) is not None:
            yield edge.start(), end


def _is_line(token: str, min_chars: int) -> bool:
    """Whether a word of the base64 alphabet is base64 and no word or name."""
    bare = token.rstrip("=")
    return len(bare) >= min_chars and len(set(bare)) > 5 and (len(bare) >= _FULL_LINE or not _WORDS.match(token))


def _is_body(between: str) -> bool:
    """Whether most of what stands between BEGIN and END is base64."""
    tokens = [token for token in _BASE64.findall(between) if _is_line(token, _MIN_LINE_IN_BLOCK)]
    base64_chars = sum(map(len, tokens))
    if base64_chars < _FULL_LINE and _DOTS.search(between):
        return False
    headers = _KEY_HEADERS.match(between)
    rest = between[headers.end() :] if headers else between
    return bool(tokens) and 2 * base64_chars >= len("".join(rest.split()))


def _body_end(text: str, position: int, limit: int) -> int | None:
    """Where the base64 behind BEGIN stops; None if there is none, or only the beginning of an example."""
    headers = _KEY_HEADERS.match(text, position, limit)
    place = headers.end() if headers else position
    end, base64_chars = None, 0
    while True:
        place = _BETWEEN.match(text, place, limit).end()  # type: ignore[union-attr]
        token = _BASE64.match(text, place, limit)
        if token is None or not _is_line(token.group(), _MIN_LINE if end is None else _MIN_LINE_IN_BLOCK):
            break
        place = end = token.end()
        base64_chars += len(token.group())
    if end is not None and base64_chars < _FULL_LINE and _DOTS.match(text, place):
        return None
    return end


def api_keys(text: str) -> Iterator[Span]:
    """Keys and tokens in well-known formats, except examples: sk-xxxxxxxx, AKIA...EXAMPLE."""
    if _may_hold_key(text):
        for found in _API_KEY.finditer(text):
            if _is_secret(found.group()):
                yield found.span()
    if ".eyJ" in text:
        yield from _web_tokens(text)
    if "ecret" in text or "ECRET" in text:
        for found in _AWS_SECRET.finditer(text):
            if _is_secret(found.group(1)):
                yield found.span(1)
    if "@" in text and "://" in text:
        yield from _url_passwords(text)


def _url_passwords(text: str) -> Iterator[Span]:
    """Passwords of logins in URLs: postgres://bo:s3cr-t9@db.host.se/a."""
    for found in _URL_PASSWORD.finditer(text):
        user, password, host = found.groups()
        if password != user and is_domain(host) and ".example." not in f".{host}":
            yield found.span(2)


def _is_secret(key: str) -> bool:
    """Whether a key is no example: of more than a few characters, and without the marks of a placeholder."""
    return len(set(key)) >= _MIN_DISTINCT and not _PLACEHOLDER.search(key)


def _may_hold_key(text: str) -> bool:
    """Whether the text may hold a key. Plain loops, because this runs on every text and any() takes twice as long."""
    for rare, marks in _KEY_MARKS.items():
        if rare in text:
            for mark in marks:
                if mark in text:
                    return True
    return False


def _web_tokens(text: str) -> Iterator[Span]:
    """JSON web tokens: three parts in base64 with dots between them, the first two of which are objects."""
    floor = 0
    for body in _TOKEN_BODY.finditer(text):
        start = body.start()
        while start > floor and _TOKEN_RUN.match(text, start - 1) is None:
            start -= 1
        head = _TOKEN_HEAD.search(text, start, body.start())
        if head is not None and _is_secret(text[head.start() : body.end()]):
            yield head.start(), body.end()
        floor = body.end()
