"""Mail addresses, and what only looks like one: matrix products, logins at machines, versions of packages, mentions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sftdata.curate.privacy.domains import is_domain
from sftdata.curate.privacy.text import BEFORE, CJK, WORD, Span

_LABEL = rf"[^\W_{CJK}]"
_TOP = rf"(?:[xX][nN]--[A-Za-z0-9-]{{2,59}}|[^\W\d_{CJK}]{{2,24}})"
# A name, @ and a domain. `git@github.com:` is the address of a machine, `icon@2x.png` an image, `@bo@mastodon.social`
# a mention, `foo@1.2.3-rc.in` a version, `cells@meta.data$x` a slot in R. An underscore may follow, as in Markdown.
_EMAIL = re.compile(
    rf"{BEFORE}(?<![.%+/@-])(?!git@)(?:[oO]')?(?:{WORD}|[%+-])(?:(?:{WORD}|[.%+-]){{0,62}}(?:{WORD}|[%+-]))?"
    rf"@(?!\d+(?:\.\d+)?x\.|v?\d+\.\d+\.\d)((?:{_LABEL}(?:(?:{WORD}|-){{0,61}}{_LABEL})?\.){{1,8}}{_TOP})"
    rf"(?!{_LABEL}|_\w|[@$\[]|\((?![{CJK}])| ?<-|(?:\.\w{{1,40}}){{1,4}}[(\[])"
)
# A product of two variables that have names of one letter: W@h.id, W_q@x.it.
_PRODUCT = re.compile(r"\w(?:_?\w)?@\w\.[a-z]{2}\Z")
# Domains reserved for examples and tests (RFC 2606), and placeholders such as your_name.
_EXAMPLE_EMAIL = re.compile(
    r"[^@]*@(?:.*\.)?(?:example\.(?:com|net|org)|example|test|invalid|localhost)\Z"
    r"|your[._-]?(?:e-?mail|user ?name|name|id|address)@",
    re.IGNORECASE,
)
# A path on a machine: bo@host.se:/srv, bo@host.se:~/a, bo@host.se:org/repo.git, and the prompt [bo@host.se ~]$.
_PATH_BEHIND = re.compile(r":(?:\d{1,5}/|[/~]|\.{1,2}/|[\w.-]{1,80}/|[\w.-]{1,80}\.git\b)| [/~][\w./-]{0,80}\][#$]")
# The command before it: ssh with its options, and those that copy from or to a machine.
_LOGIN_BEFORE = re.compile(
    r"(?:^|[\s;&|`$(\"'#])(?:ssh|sftp|mosh|ssh-copy-id|autossh|sshfs)"
    r"(?: {1,3}-[\w-]{1,20}(?:[ =](?!-)[^\s-]\S{0,40})?){0,6} {1,3}[\"']?\Z"
)
_COPY_BEFORE = re.compile(
    r"(?:^|[\s;&|`$(\"'#])(?:scp|rsync|git (?:clone|remote|push|pull|fetch|ls-remote|submodule)) [^\n|;&]{0,100}\Z"
)
_TARGET_BEHIND = re.compile(r":(?:\S|\n|\Z)")
_LOOK_BACK = 120
# In a URL, what comes before @ is a login and its password: postgres://bo:secret@db.host.se/a.
_URL_BEFORE = re.compile(r"://[^\s/@\"'<>]{0,80}:\Z")

_AT = r"(?:\[ ?(?:at|@) ?\]|\( ?(?:at|@) ?\)|\{ ?(?:at|@) ?\})"
_DOT = r"(?: {0,2}(?:\[ ?(?:dot|\.) ?\]|\( ?(?:dot|\.) ?\)|\{ ?(?:dot|\.) ?\}|<dot>) {0,2}|\.)"
# bo [at] host [dot] se, bo(at)host.se
_DISGUISED = re.compile(
    rf"{BEFORE}(?<![.%+/@-])[A-Za-z0-9][\w.%+-]{{0,62}}(?: {{1,2}}{_AT} {{1,2}}|{_AT})"
    rf"((?:[A-Za-z0-9](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?{_DOT}){{1,4}}[A-Za-z]{{2,24}})(?![\w(@])",
    re.IGNORECASE,
)
_DOTS = re.compile(_DOT, re.IGNORECASE)
_AT_MARK = re.compile(r"[\[({] ?(?:at|AT|At|@) ?[\])}]")


def emails(text: str) -> Iterator[Span]:
    """Mail addresses, also as `bo [at] host [dot] se`, except examples such as john@example.com and your_name@..."""
    if "@" in text:
        for found in _EMAIL.finditer(text):
            end = found.end() if is_domain(found.group(1)) else _end_of_sentence(found)
            address = text[found.start() : end]
            if (
                end
                and not _EXAMPLE_EMAIL.match(address)
                and not _PRODUCT.match(address)
                and not _is_login(text, found.start(), end)
            ):
                yield found.start() + _signs_before(text, found.start(), end), end
    # Single characters are searched for ten times as fast as the pattern.
    if ("(" in text or "[" in text or "{" in text) and _AT_MARK.search(text):
        yield from _disguised(text)


def _signs_before(text: str, start: int, end: int) -> bool:
    """Whether the first character is not of the address: that of _bo@host.se_ in Markdown, or the n of \\n."""
    if text[start] == "_":
        return text[end : end + 1] == "_"
    return text[start] in "nrt" and text[start - 1 : start] == "\\" and text[start + 1] != "@"


def _end_of_sentence(found: re.Match[str]) -> int | None:
    """The end of an address behind whose dot a sentence begins without a space: bo@host.se.Thanks."""
    domain, _, word = found.group(1).rpartition(".")
    is_sentence = word.istitle() and domain[-1:].islower() and "." in domain and is_domain(domain)
    return found.end() - len(word) - 1 if is_sentence else None


def _is_login(text: str, start: int, end: int) -> bool:
    """Whether this is the name of a user at a machine: behind ssh, in a URL, or with a path behind it."""
    if _PATH_BEHIND.match(text, end):
        return True
    head = text[max(0, start - _LOOK_BACK) : start]
    head = head[head.rfind("\n") + 1 :]
    if head[-1:] == ":" and _URL_BEFORE.search(head):
        return True
    return bool(head) and (
        _LOGIN_BEFORE.search(head) is not None
        or (_TARGET_BEHIND.match(text, end) is not None and _COPY_BEFORE.search(head) is not None)
    )


def _disguised(text: str) -> Iterator[Span]:
    """Addresses with marks in place of @ and the dots."""
    for found in _DISGUISED.finditer(text):
        domain = _DOTS.sub(".", found.group(1))
        if is_domain(domain) and not _EXAMPLE_EMAIL.match(f"bo@{domain}"):
            yield found.span()
