"""Finders for IBANs and credit cards, each with the check that tells them from other numbers.

Every finder yields (start, end) in the text. They favor precision: for example, a number is a credit card only if both
its checksum and its issuer are valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sftdata.curate.privacy.text import AFTER, WORD, Span

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
# Numbers with a right check digit that payment companies publish for tests, besides those of at most three digits
# (4242 4242 4242 4242), and numbers of mathematics: e, roots, the logarithm of 10, powers.
_NO_CARDS = frozenset(
    """
    4012888881881881 4000056655665556 4917610000000000 4009348888881881 4005519200000004 4508750015741019
    4500600000000061 5105105105105100 5200828282828210 5425233430109903 2223003122003222 2222405343248877
    2222990905257051 2223016768739313 2223520043560014 5431111111111111 5454545454545454
    6011000990139424 6011111111111117 6011000991300009 6011981111111113 6011601160116611 3530111333300000
    3566002020360505 378282246310005 371449635398431 378734493671000 371111111111114 343434343434343
    374245455400126 341111111111111 30569309025904 38520000023237 36227206271667 36259600000004 36006666333344
    6205500000000000004
    2718281828459045 2449489742783178 2645751311064591 2302585092994046 5196152422706632 4095999999999999
    4808584372417849 4669201609102990671 4690415759823429554 4545454545454545455 4795831523312719542
    4660046610375530309 30365889718756 370370370370370 6283185307179586476
    """.split()  # noqa: SIM905
)
_MIN_DISTINCT = 4

# A number after # is a ticket and the like, unless the word before says card. The first digit comes before what must
# not be in front of it, because a pattern that begins with a digit is searched for faster.
_CARD = re.compile(
    rf"\d(?<!{WORD}\d)(?<![.$€£+-]\d)(?<!(?<!card|ard |d no|ber )#\d)"
    r"(?:\d{3}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{3}([ -])\d{6}\2\d{4,5}|(?<!\d,\d)\d{13,15})"
    rf"{AFTER}(?![.-]\d|[ -]\d{{4}})"
)


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
    """Credit card numbers, grouped as on the card or unspaced, with a valid issuer and checksum (Luhn), except those
    that are published for tests.
    """
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        if _is_issued(digits) and luhn(digits) and digits not in _NO_CARDS and len(set(digits)) >= _MIN_DISTINCT:
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
