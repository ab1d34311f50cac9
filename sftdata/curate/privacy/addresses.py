"""IP addresses in a text, and what tells them from versions, sections and other numbers in four parts.

`8.9.7.29` may be either. What decides, the first that says anything:

1. how it is written: `http://8.9.7.29`, `8.9.7.29:443`, `8.9.7.29/24` and `8.9.7.29 - - [` are addresses;
   `foo-8.9.7.29`, `>=8.9.7.29`, `8.9.7.29-beta` and a number whose first three parts are in the text too (an
   outline) are not;
2. the word next to it: `IP 8.9.7.29`, `version 8.9.7.29`;
3. the number before it in a list, from which only commas and the like, `and` or `to` separate it;
4. the nearest word of either kind on its line, or a name before it (`cuDNN 8.9.7.29`), against the size of its parts;
5. what the same number is elsewhere in the text;
6. the size of its parts: versions have small ones and zeros, addresses any up to 255. What could be either is an
   address only in a text that holds addresses or the word IP, and no version.

There is no list of products: a name is a word with a capital letter inside a sentence.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from enum import IntEnum

from sftdata.curate.privacy.text import AFTER, BEFORE, Span
from sftdata.curate.privacy.words import Hint, hint_after, hint_before

# Numbers with dots, whatever they are, and addresses that are replaced already: the neighbours of an address.
_DOTTED = re.compile(rf"{BEFORE}(?<!\.)\d+(?:\.\d+)+|\[IP_ADDRESS\]")
_QUAD = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}")
_WITH_PORT = re.compile(rf"(?<=IP ){_QUAD.pattern}(?=\.\d{{1,5}} > )|(?<= > ){_QUAD.pattern}(?=\.\d{{1,5}}: )")
_IPV6 = re.compile(
    rf"{BEFORE}(?<![:.])(?:[23][0-9A-Fa-f]{{3}}|[fF][cdeCDE][0-9A-Fa-f]{{2}}|64:[fF]{{2}}9[bB])"
    rf"(?::[0-9A-Fa-f]{{0,4}}){{2,7}}(?:(?<=:)(?:\d{{1,3}}\.){{3}}\d{{1,3}}|(?<![^:]:)){AFTER}(?!:[0-9A-Fa-f:]|\.\d)"
)
_IPV6_MIDDLE = re.compile(r":[0-9A-Fa-f]{0,4}:")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# The names of addresses written backwards, a hexadecimal digit at a time (RFC 3596).
_IP6_ARPA = re.compile(rf"{BEFORE}(?<!\.)(?:[0-9A-Fa-f]\.){{31}}[0-9A-Fa-f](?=\.ip6\.arpa\b)", re.I)
# Public name servers, which identify no one.
_PUBLIC_SERVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220"})

_ADDRESS_AFTER = re.compile(
    r":\d{2,5}(?![\w.:])|/(?:8|[12][0-9]|3[0-2])(?![\w./-])|\.in-addr\.arpa\b| - \S{1,40} \[", re.IGNORECASE
)
_ADDRESS_BEFORE = re.compile(r"(?:://|::ffff:|\bIN\s{1,4}A\s{1,4})\Z", re.IGNORECASE)
_USER_AT = re.compile(r"\w@\Z")
_VERSION_AFTER = re.compile(r"-[A-Za-z]|\+(?!\d)|[ -]{0,2}(?:or|and) (?:later|newer|above|higher|up)\b")
_VERSION_BEFORE = re.compile(r"(?:[^\W\d_]-|§ ?|\w [<>] |(?<![<>=!~])[~^]|[~<>=!]=+ ?|~> ?)\Z")
_IN_PATH = re.compile(r"[\w.)][/\\]\Z")
# A word with a capital letter inside a sentence, or inside the word (cuDNN); not GET, DROP.
_NAME = re.compile(
    r"[\w)],? \(?(?=[\w.+-]*[A-Z])(?=[\w.+-]*[a-z])[^\W\d_][\w.+-]* \(?\Z|\A\W{0,3}[^\W\d_]*[a-z][A-Z]\w* \Z"
)
# What separates the numbers of a list.
_LIST = re.compile(
    r"[\s,;|&/\"'`()\[\]→>*•-]{0,8}"
    r"(?:(?:and|or|to|und|oder|bis|et|ou|y|o|e|и|和|与|或|と)[\s\"'`(\[]{1,3}|[、，；和与或と])?"
)


class Verdict(IntEnum):
    """What a number in four parts is, and how sure that is."""

    VERSION = 0
    LIKELY_VERSION = 1
    OPEN = 2
    LIKELY_ADDRESS = 3
    ADDRESS = 4


def ip_addresses(text: str, private: bool, has_numbers: bool = True) -> Iterator[Span]:
    """IPv4 and IPv6 addresses; those that identify no one (192.168.1.1, 127.0.0.1) only with `private`.

    `has_numbers` is the result of `has_many_digits`, if known: without many digits there is no IPv4 address. An IPv6
    address that ends in an IPv4 address comes first.
    """
    if _IPV6_MIDDLE.search(text):
        for found in _IPV6.finditer(text):
            if _is_ipv6(found.group(), private):
                yield found.span()
    if has_numbers and _QUAD.search(text):
        for start, end in (*_ipv4(text), *_with_ports(text)):
            if private or _identifies(text[start:end], text.startswith(".in-addr", end)):
                yield start, end
    if ".arpa" in text:
        for found in _IP6_ARPA.finditer(text):
            digits = found.group().replace(".", "")[::-1]
            if _is_ipv6(":".join(digits[start : start + 4] for start in range(0, 32, 4)), private):
                yield found.span()


def _identifies(address: str, backwards: bool) -> bool:
    """Whether an IPv4 address is one on the internet, and not that of a public name server."""
    forwards = ".".join(reversed(address.split("."))) if backwards else address
    return ipaddress.IPv4Address(forwards).is_global and forwards not in _PUBLIC_SERVERS


def _is_ipv6(candidate: str, private: bool) -> bool:
    """Whether this is an IPv6 address, with `private` false one on the internet."""
    try:
        address = ipaddress.IPv6Address(candidate)
    except ValueError:
        return False
    return private or address.is_global or address in _NAT64


def _ipv4(text: str) -> Iterator[Span]:
    """All IPv4 addresses in a text."""
    numbers = list(_DOTTED.finditer(text))
    prefixes = {number.group() for number in numbers if number.group().count(".") == 2}
    verdicts: list[Verdict | None] = []
    for index, number in enumerate(numbers):
        before = numbers[index - 1] if index else None
        in_list = before is not None and _LIST.fullmatch(text, before.end(), number.start()) is not None
        if number.group() == "[IP_ADDRESS]":
            verdicts.append(Verdict.ADDRESS)
        elif not _is_quad(text, number.span()):
            verdicts.append(_of_other(number.group(), verdicts[-1] if in_list else None))
        else:
            verdict = _by_context(text, number.span(), before.end() if before else 0, prefixes)
            if in_list and verdicts[-1] is not None and Verdict.VERSION < verdict < Verdict.ADDRESS:
                verdict = verdicts[-1] if verdicts[-1] != Verdict.OPEN else verdict
            verdicts.append(verdict)
    _share_with_lists(text, numbers, verdicts)
    yield from _decided(text, numbers, verdicts)


def _with_ports(text: str) -> Iterator[Span]:
    """Addresses as tcpdump writes them, the port behind a dot: `IP 8.34.208.77.443 > 8.34.208.78.51514: Flags`."""
    if " > " in text:
        for found in _WITH_PORT.finditer(text):
            if _all_bytes(found.group()):
                yield found.span()


def _is_quad(text: str, span: Span) -> bool:
    """Whether the number has the form of an IPv4 address and nothing that goes on behind it."""
    start, end = span
    if not _QUAD.fullmatch(text, start, end) or not _END.match(text, end):
        return False
    parts = text[start:end].split(".")
    return all(int(part) < 256 and (part[0] != "0" or part == "0") and part.isascii() for part in parts)


_END = re.compile(rf"{AFTER}(?!\.(?!in-addr\.)[^\W_])", re.I)


def _of_other(number: str, listed: Verdict | None) -> Verdict | None:
    """What a number with dots says to its neighbours in a list: three parts, five, or parts over 255 are versions."""
    return Verdict.LIKELY_VERSION if number.count(".") > 1 else listed


def _by_context(text: str, span: Span, floor: int, prefixes: set[str]) -> Verdict:
    """What the number is by itself: how it is written, and the words around it."""
    start, end = span
    head = text[max(floor, start - 100) : start]
    head = head[head.rfind("\n") + 1 :] if head.strip(" \t\"'`*•>|-").count("\n") or not head.endswith("\n") else head
    tail = text[end : end + 60].partition("\n")[0]
    if _ADDRESS_AFTER.match(tail) or _ADDRESS_BEFORE.search(head[-8:]):
        return Verdict.ADDRESS
    hint, is_next = hint_before(head)
    if _VERSION_AFTER.match(tail) or text[start:end].rpartition(".")[0] in prefixes:
        return Verdict.VERSION
    if _VERSION_BEFORE.search(head) and not (is_next and hint >= Hint.HOST):
        return Verdict.VERSION
    if is_next and hint in (Hint.VERSION, Hint.ADDRESS):
        return Verdict.ADDRESS if hint == Hint.ADDRESS else Verdict.VERSION
    if (hint == Hint.NONE or (is_next and hint == Hint.HOST)) and _NAME.search(head):
        hint = Hint.SOFTWARE  # also: WebLogic Server 14.1.2.0
    if hint == Hint.NONE and _IN_PATH.search(head):
        hint = Hint.SOFTWARE
    if hint == Hint.NONE and _USER_AT.search(head):
        hint = Hint.HOST
    return _by_words(_by_size(text[start:end]), hint, hint_after(tail))


def _by_words(size: Verdict, before: Hint, after: Hint) -> Verdict:
    """What the number is by the words around it and the size of its parts."""
    if before >= Hint.HOST or (before == Hint.NONE and after >= Hint.HOST):
        return Verdict.LIKELY_VERSION if size == Verdict.VERSION else Verdict.LIKELY_ADDRESS
    if before == Hint.NONE and after <= Hint.SOFTWARE:
        return Verdict.OPEN
    if before == Hint.SOFTWARE and after >= Hint.HOST and size >= Verdict.LIKELY_ADDRESS:
        return Verdict.LIKELY_ADDRESS  # "added 23.1.120.4 to the blocklist"
    return Verdict.LIKELY_ADDRESS if size == Verdict.ADDRESS else Verdict.LIKELY_VERSION


def _by_size(address: str) -> Verdict:
    """What the parts of a number look like: VERSION and ADDRESS if they can hardly be anything else."""
    parts = [int(part) for part in address.split(".")]
    first, rest = parts[0], parts[1:]
    if first in (127, 255) or parts[:2] in ([192, 168], [169, 254]) or (first == 172 and 16 <= rest[0] < 32):
        return Verdict.ADDRESS
    if address in _PUBLIC_SERVERS or not any(parts):
        return Verdict.ADDRESS
    small = sum(part < 10 for part in rest)
    if 0 not in rest and ((first >= 64 and small < 2) or (small == 0 and sum(part >= 100 for part in parts) >= 2)):
        return Verdict.ADDRESS
    if first < 32 and first != 10 and ((rest[0] < 32 and small >= 2) or 0 in rest[:2]):
        return Verdict.VERSION
    if (
        (max(parts) >= 100 and 0 not in rest and (first >= 32 or small == 0))
        or first >= 64
        or first == 10
        or min(rest) >= 32
    ):
        return Verdict.LIKELY_ADDRESS
    return Verdict.LIKELY_VERSION


def _share_with_lists(text: str, numbers: Sequence[re.Match[str]], verdicts: list[Verdict | None]) -> None:
    """Pass what is known of a number on to the open ones before it in the same list, from the end to the beginning."""
    for index in range(len(numbers) - 2, -1, -1):
        known, follower = verdicts[index], verdicts[index + 1]
        if known != Verdict.OPEN or follower in (None, Verdict.OPEN):
            continue
        if _LIST.fullmatch(text, numbers[index].end(), numbers[index + 1].start()):
            verdicts[index] = follower


def _decided(text: str, numbers: Sequence[re.Match[str]], verdicts: Sequence[Verdict | None]) -> Iterator[Span]:
    """The numbers that are addresses, the open ones by what else is in the text and by their size."""
    seen: dict[str, set[Verdict]] = {}
    for number, verdict in zip(numbers, verdicts, strict=True):
        if verdict is not None:
            seen.setdefault(number.group(), set()).add(verdict)
    everything = set().union(*seen.values())
    has_addresses = bool(everything & {Verdict.ADDRESS, Verdict.LIKELY_ADDRESS}) or any(
        _by_size(number) == Verdict.ADDRESS for number in seen if _QUAD.fullmatch(number) and _all_bytes(number)
    )
    has_versions = bool(everything & {Verdict.VERSION, Verdict.LIKELY_VERSION})
    speaks_of_ips = has_addresses or _SPEAKS_OF_IPS.search(text) is not None
    for number, verdict in zip(numbers, verdicts, strict=True):
        if verdict is None or number.group() == "[IP_ADDRESS]" or not _is_quad(text, number.span()):
            continue
        if verdict == Verdict.OPEN:
            size, same = _by_size(number.group()), seen[number.group()]
            if same & {Verdict.ADDRESS, Verdict.LIKELY_ADDRESS}:
                verdict = Verdict.ADDRESS
            elif same & {Verdict.VERSION, Verdict.LIKELY_VERSION}:
                verdict = Verdict.VERSION
            elif size == Verdict.LIKELY_VERSION and speaks_of_ips and not has_versions:
                verdict = Verdict.LIKELY_ADDRESS
            else:
                verdict = size
        if verdict >= Verdict.LIKELY_ADDRESS:
            yield number.span()


_SPEAKS_OF_IPS = re.compile(r"(?<![^\W_])(?:IPs?|ips?|[iI][pP][vV]4)(?![^\W_])(?!\])")


def _all_bytes(number: str) -> bool:
    return all(int(part) < 256 for part in number.split("."))
