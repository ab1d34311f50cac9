"""Finders for personal data and secrets, each with the check that tells them from other numbers and words.

Every finder yields (start, end) in the text. They favor precision: for example, a number is a credit card only if both
its checksum and its issuer are valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sftdata.curate.privacy.text import AFTER, BEFORE, CJK, WORD, Span

# A name, @ and a domain. `git@github.com:` is the address of a machine, `icon@2x.png` an image,
# `cells@meta.data$x` a slot in R. An underscore may follow, as in Markdown.
_LABEL = rf"[^\W_{CJK}]"
_EMAIL = re.compile(
    rf"{BEFORE}(?<![.%+/-])(?!git@)(?:[oO]')?(?:{WORD}|[%+-])(?:(?:{WORD}|[.%+-]){{0,62}}(?:{WORD}|[%+-]))?"
    rf"@(?!\d+(?:\.\d+)?x\.)(?:{_LABEL}(?:(?:{WORD}|-){{0,61}}{_LABEL})?\.){{1,8}}[^\W\d_{CJK}]{{2,24}}"
    rf"(?!{_LABEL}|_\w|[@$\[]| ?<-)"
)
# Domains reserved for examples and tests (RFC 2606), and placeholders such as your_name.
_EXAMPLE_EMAIL = re.compile(
    r"[^@]*@(?:.*\.)?(?:example\.(?:com|net|org)|example|test|invalid|localhost)\Z"
    r"|your[._-]?(?:e-?mail|user ?name|name|id|address)@",
    re.IGNORECASE,
)

# The formats are those that the vendors document, as collected in the rules of gitleaks and detect-secrets.
# Every key contains one of these strings, grouped by their rarest character, so most texts need no search.
_KEY_MARKS = {
    "_": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "k_live_", "k_test_", "hf_", "npm_"),
    "-": ("sk-", "xox", "xapp-", "glpat-", "GOCSPX-", "pypi-"),
    ".": ("eyJ", "SG.", "ya29.", "hooks.slack.com"),
    "I": ("AKIA", "ASIA", "ABIA", "AIza"),
}
_API_KEY = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    r"(?:AKIA|ASIA|ABIA)[A-Z0-9]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{70,100}|glpat-[A-Za-z0-9_-]{20,}"  # GitHub, GitLab
    r"|sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|sk-ant-[A-Za-z0-9_-]{20,}|sk-or-v1-[a-f0-9]{32,}"
    r"|sk-[A-Za-z0-9]{32,64}"  # OpenAI and those who adopted its format
    r"|xox[abeprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}"  # Slack
    r"|AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{20,}"  # Google
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|hf_[A-Za-z]{30,40}|npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{50,}"
    r"|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"  # SendGrid
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # JSON web tokens
    r")(?![A-Za-z0-9_])"
    r"|(?<=hooks\.slack\.com/services/)T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,}"
)
_AWS_SECRET = re.compile(
    r"secret_?(?:access_?)?key[\"']?\s{0,3}[:=]{1,2}>?\s{0,3}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])", re.I
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)

# Every kind of number below contains this, except IPv6 addresses; most texts contain neither.
MANY_DIGITS = re.compile(r"\d[\d ()./-]{5,}\d")

# The digits behind the country; what is before them is looked at afterwards, because that is faster.
_IBAN_HEAD = re.compile(
    r"\d\d(?<![A-Za-z0-9]....)(?:(?<=[A-Z]{2}..)(?=[ -]?[A-Z0-9]{4})|(?<=[a-z]{2}..)(?=[ -]?[a-z0-9]{4}))"
)
# Lengths by country, from the IBAN registry of SWIFT.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
        21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
        32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip

_AFTER = re.compile(AFTER)

# A number after # is a ticket and the like, unless the word before says card. The first digit comes before what must
# not be in front of it, because a pattern that begins with a digit is searched for faster.
_CARD = re.compile(
    rf"\d(?<!{WORD}\d)(?<![.$€£+-]\d)(?<!(?<!card|ard |d no|ber )#\d)"
    r"(?:\d{3}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{3}([ -])\d{6}\2\d{4,5}|(?<!\d,\d)\d{13,15})"
    rf"{AFTER}(?![.-]\d|[ -]\d{{4}})"
)


def has_many_digits(text: str) -> bool:
    """Whether the text holds anything that may be an IBAN, a credit card, a phone number, or an IPv4 address."""
    return MANY_DIGITS.search(text) is not None


def emails(text: str) -> Iterator[Span]:
    """Email addresses, except examples such as john@example.com and your_name@company.com."""
    if "@" in text:
        for found in _EMAIL.finditer(text):
            if not _EXAMPLE_EMAIL.match(found.group()):
                underlined = found.group()[0] == "_" and text[found.end() : found.end() + 1] == "_"
                yield found.start() + underlined, found.end()


def private_keys(text: str) -> Iterator[Span]:
    """PEM and PGP private keys, from BEGIN to END, or to the end of the text if there is no END."""
    if "PRIVATE KEY" in text:
        for found in _PRIVATE_KEY.finditer(text):
            yield found.span()


def api_keys(text: str) -> Iterator[Span]:
    """Keys and tokens in well-known formats. Those with few distinct characters, such as sk-xxxxxxxx, are examples."""
    if _may_hold_key(text):
        for found in _API_KEY.finditer(text):
            if len(set(found.group())) >= 10:
                yield found.span()
    if "ecret" in text or "ECRET" in text:
        for found in _AWS_SECRET.finditer(text):
            if len(set(found.group(1))) >= 10:
                yield found.span(1)


def _may_hold_key(text: str) -> bool:
    """Whether the text may hold a key. Plain loops, because this runs on every text and any() takes twice as long."""
    for rare, marks in _KEY_MARKS.items():
        if rare in text:
            for mark in marks:
                if mark in text:
                    return True
    return False


def ibans(text: str) -> Iterator[Span]:
    """IBANs with a valid country, length and checksum (ISO 7064, mod 97)."""
    for head in _IBAN_HEAD.finditer(text):
        start = head.start() - 2
        end = _iban_end(text, start, _IBAN_LENGTHS.get(text[start : start + 2].upper(), 0))
        if end is not None:
            yield start, end


def _iban_end(text: str, start: int, length: int) -> int | None:
    """The end of an IBAN of this many characters, not counting single spaces or hyphens; None if it is not one."""
    characters: list[str] = []
    is_lower = text[start].islower()
    position = start
    while len(characters) < length and position < len(text):
        character = text[position]
        if character in " -":
            if text[position - 1] in " -":
                return None
        elif character.isascii() and (character.isdigit() or character.isupper() or (is_lower and character.islower())):
            characters.append(character)
        else:
            return None
        position += 1
    if not length or len(characters) < length or _AFTER.match(text, position) is None:
        return None
    digits = "".join(str(int(character, 36)) for character in characters[4:] + characters[:4])
    return position if int(digits) % 97 == 1 else None


def credit_cards(text: str) -> Iterator[Span]:
    """Credit card numbers, grouped as on the card or unspaced, with a valid issuer and checksum (Luhn)."""
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        if _is_issued(digits) and luhn(digits):
            yield found.span()


def _is_issued(digits: str) -> bool:
    """Whether an issuer has numbers with this prefix and length (ISO 7812 ranges in use)."""
    two, three, four = int(digits[:2]), int(digits[:3]), int(digits[:4])
    if len(digits) == 16:
        return (
            digits[0] == "4"  # Visa
            or 51 <= two <= 55 or 2221 <= four <= 2720  # Mastercard
            or four == 6011 or two == 65 or 644 <= three <= 649  # Discover
            or 3528 <= four <= 3589  # JCB
            or two == 62  # UnionPay
        )  # fmt: skip
    if len(digits) == 15:
        return two in (34, 37)  # American Express
    if len(digits) == 14:
        return 300 <= three <= 305 or two in (36, 38)  # Diners Club
    return len(digits) == 19 and (two == 62 or digits[0] == "4")


def luhn(digits: str) -> bool:
    """Whether the check digit is valid (ISO 7812, annex B) and not all digits are the same."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0 and len(set(digits)) > 1
