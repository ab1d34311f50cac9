"""Phone numbers in a text, recognized by their format, the word before them, and libphonenumber."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from sftdata.curate.privacy.text import AFTER, BEFORE, MANY_DIGITS, Span

_INTERNATIONAL = re.compile(rf"{BEFORE}(?<!\+)\+[1-9][\d ()./-]{{5,20}}\d{AFTER}")
# The North American format with separators is recognized without libphonenumber, even with an unassigned area code.
_NORTH_AMERICAN = re.compile(
    rf"{BEFORE}(?<![.$€£/+=*-])(?:\+?1[ .-]?)?(?:\(\d{{3}}\) ?-?|[2-9]\d{{2}}[.-])\d{{3}}[.-]\d{{4}}"
    rf"(?:{AFTER}|(?=x\d))(?![./*+=-]\d| ?[*+=/] ?\d)"
)
# Reserved for fiction and documents in North America: 555-0100 to 555-0199.
_FICTION = re.compile(r"(?:\+?1[ .-]{0,3})?(?:\(?[2-9]\d\d\)?[ .-]{0,3})?555[ .-]?01\d\d\Z")
# Round numbers are quantities: 200-300-4000.
_ROUND = re.compile(r"\d00[.-]\d00[.-]\d000\Z")
_TRUNK = re.compile(
    rf"{BEFORE}(?<![.$€£/+*=-])(?<!\d[ ,])(?:\(0[1-9]\d{{0,4}}\)|0[1-9]\d{{0,4}})(?:[ ./-]{{1,3}}\d{{2,8}}){{1,5}}"
    rf"{AFTER}(?![./*+=-]\d)"
)
_WITH_00 = re.compile(
    rf"{BEFORE}(?<![.,$€£/+*=-])(?<!\d )00[2-9]\d{{1,2}}[ /-](?:\d{{2,8}}[ /-]?){{1,4}}\d{AFTER}(?![./*+=-]\d)"
)
_PAIRS = re.compile(r"\d\d(?:[ ./-]\d\d)+\Z")
_FIVE_PAIRS = re.compile(r"0[1-9](?:([ ./-])\d\d)(?:\1\d\d){3}\Z")
_MIN_TRUNK_DIGITS = 9
# Numbers that each begin with a zero: 01-02-03-04, 010 020 030. With spaces, pairs may be a French number.
_COUNTED = re.compile(r"0\d*(?:[./-]0\d*){2,}\Z|0\d{2,}(?: 0\d{2,})+\Z")
# Words before other numbers that may look the same; a format alone says nothing behind them.
_OTHER_NUMBER = re.compile(
    r"(?<![^\W\d_])(?:v|ver(?:sion)?|rev(?:ision)?|release|build|rooms?|order|invoice|case|ticket|sku|upc|ean|gtin|isbn|"
    r"issn|doi|cpf|cnpj|nif|ssn|model|part|parts|item|serial|lot|batch|ref(?:erence)?|account|acct|a/c|page|pages|pp|p\.|"
    r"lines?|article|art|section|chapter|tracking|parcel|id|code|zip|plz|policy|claim|samples?|specimen|plate|"
    r"cat(?:alogue?)?|asset|docket|patent|po|bates|barcode|licen[cs]e|permit|contract|form|style|product|run|routing|"
    r"bestell\w*|rechnung\w*|artikel\w*|konto\w*|kunden\w*|seiten?)"
    r"[ _]?(?:numbers?|nums?|nos?|nr|ids?|code)?[\"'`]?[.:#=]{0,2} {0,2}[\"'`#(]{0,2}\Z",
    re.IGNORECASE,
)
_CUE = re.compile(
    r"\b(?:(?:tele)?phones?|tel|tele(?:f|ph)[a-zéo]{2,4}|mobile?|mob|ph|cell?|celular|cellulare|m[oó]vil|portable|"
    r"rufnummer|(?:telefon|handy|mobil|fax)nummer|t[eé]l[eé](?:f|ph)[a-zéoô]{1,6}|tél|tlf|tfno|"
    r"call(?:ing|ed)?(?: (?:me|us|him|her|them))?|(?:tele)?fax|whats ?app|sms|(?:my|his|her|their|our) number|"
    r"text(?:ing)?(?: (?:me|us))?|dial|handy|hotline|contact)"
    r"(?:[ _]?(?:number|num|no|nr|n°))?(?: (?:is|at|on|to|under|toll-free at))?[\"'`]?(?: ?[.:：=#]){0,2}"
    r"[ \n\"'`]{0,2}\(?\Z"
    r"|(?:电话|電話|手机|手機|联系方式|聯絡|号码|號碼|携帯|ケータイ|전화|휴대폰|번호|телефон\w*|тел)"
    r"(?:号码|號碼|番号|번호|号|號)?(?:是|为|為|は|는|은)?[.:： ]{0,2}\(?\Z",
    re.IGNORECASE,
)
_CUE_BEHIND = re.compile(
    r" (?:is|was) (?:my|his|her|our|their) (?:(?:new|old|cell|mobile|phone|home|work|office) ?){0,3}"
    r"(?:number|phone|cell|mobile)\b|[ ，,]?是我的?(?:新)?(?:手机|电话|號碼|号码|手機|電話)",
    re.IGNORECASE,
)
_DIGITS_AFTER_CUE = re.compile(rf"{BEFORE}(?<![.,$€£+-])\(?\d[\d ()./-]{{5,18}}\d{AFTER}(?![.,/*+=-]\d| ?[*+=/%] ?\d)")
_LOCAL = re.compile(r"\d{3}[ .-]\d{4}")
# Dates, and ranges of years or of times: 2006-08 2004 2002, 0900-0130.
_DATE = re.compile(
    r"\(?\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b|.*\b(?:19|20)\d\d\D+(?:19|20)\d\d\b|[0-2]\d[0-5]\d(?:[ /-][0-2]\d[0-5]\d)+\Z"
)
_CUE_CHARS = 40


def phones(text: str, regions: tuple[str, ...]) -> Iterator[Span]:
    """Phone numbers: international ones (+49 ...), North American ones with separators, national ones of the regions
    with a leading 0 and separators, and any number that is valid in a region and follows a word such as `phone`.
    """
    for run in MANY_DIGITS.finditer(text):
        # The patterns look at no more than two characters before a number and four after it.
        start, end = max(0, run.start() - 2), run.end() + 4
        for span in (*_by_format(text, start, end, regions), *_after_cue_words(text, start, end, regions)):
            if "555" not in text[span[0] : span[1]] or not _FICTION.match(text[span[0] : span[1]]):
                yield span


def _by_format(text: str, start: int, end: int, regions: tuple[str, ...]) -> Iterator[Span]:
    """Numbers whose format alone shows that they are phone numbers, in a part of the text."""
    for found in _INTERNATIONAL.finditer(text, start, end):
        if length := _valid_length(found.group(), (None,)):
            yield found.start(), found.start() + length
    for found in _WITH_00.finditer(text, start, end):
        if not _is_other_number(text, found.start()) and _is_valid("+" + found.group()[2:]):
            yield found.span()
    for found in _NORTH_AMERICAN.finditer(text, start, end):
        if not _ROUND.search(found.group()) and not _is_other_number(text, found.start()):
            yield found.span()
    for found in _TRUNK.finditer(text, start, end):
        if not _may_be_national(found.group()) or _is_other_number(text, found.start()):
            continue
        if length := _valid_length(found.group(), regions):
            yield found.start(), found.start() + length


def _may_be_national(number: str) -> bool:
    """Whether digits with a leading 0 and separators are no date, time, list of pairs and the like."""
    if _PAIRS.match(number):
        return _FIVE_PAIRS.match(number) is not None and (" " in number or not _COUNTED.match(number))
    if _DATE.match(number) or _COUNTED.match(number) or ("." in number and "-" in number):
        return False
    return number[0] == "(" or sum(map(str.isdigit, number)) >= _MIN_TRUNK_DIGITS


def _is_other_number(text: str, start: int) -> bool:
    """Whether the word before the number says that it is an order, a version, a page and the like."""
    return _OTHER_NUMBER.search(text, max(0, start - _CUE_CHARS), start) is not None


def _after_cue_words(text: str, start: int, end: int, regions: tuple[str, ...]) -> Iterator[Span]:
    """Numbers that follow a word such as `phone`, in a part of the text."""
    for found in _DIGITS_AFTER_CUE.finditer(text, start, end):
        is_named = _CUE.search(text, max(0, found.start() - _CUE_CHARS), found.start())
        if not is_named and not _CUE_BEHIND.match(text, found.end(), found.end() + _CUE_CHARS):
            continue
        if _is_call(text, found):
            continue
        if _LOCAL.fullmatch(found.group()):
            yield found.span()
        elif not _DATE.match(found.group()) and (length := _valid_length(found.group(), regions)):
            yield found.start(), found.start() + length


def _is_call(text: str, found: re.Match[str]) -> bool:
    """Whether this is a number in the parentheses of a function: phone(6502530000)."""
    opened = found.start() + 1 if found.group()[0] == "(" else found.start()
    return text[opened - 1 : opened] == "(" and ")" not in found.group() and text[opened - 2 : opened - 1].isalnum()


def _is_valid(number: str) -> bool:
    """Whether a number with + and a country code is valid."""
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return False


@lru_cache(maxsize=4096)
def _valid_length(candidate: str, regions: tuple[str | None, ...]) -> int | None:
    """The length of the longest prefix of the candidate, in whole groups, that is a valid number; or None."""
    import phonenumbers

    ends = [len(candidate)] + [found.start() for found in reversed(list(re.finditer(r"[ ./-]+\(?", candidate)))]
    for end in ends:
        head = candidate[:end]
        if sum(map(str.isdigit, head)) < 7:
            return None
        for region in regions:
            try:
                number = phonenumbers.parse(head, region)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(number) or (
                region is None and end < 20 and not head[1:].isdigit() and phonenumbers.is_possible_number(number)
            ):
                return end - (len(head) - len(head.rstrip(" (./-")))
    return None
