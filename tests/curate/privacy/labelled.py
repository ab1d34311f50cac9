r"""The labelled set of personal data and its look-alikes: hand-written templates, filled in with a fixed seed.

A line of one of the text files here is `COUNT|TEXT`, under a header that names the kind it is about. ⟦email⟧ stands
for an address that must be found, ⟦phone=...⟧ for this one, and ⟨quad⟩ for something that must not be found; # is any
digit, % one of 2 to 9; \n and \t are escapes. So whoever wrote the line gave the answer. A line without ⟦ ⟧ is a
look-alike of its kind. Check digits are computed here, not by the product.
"""

from __future__ import annotations

import random
import re
import string
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PARTS = ("tuned", "held_out", "unseen", "last", "code")
KINDS = ("private_key", "api_key", "email", "iban", "credit_card", "ip_address", "phone")
SEED = 15

SLOT = re.compile(r"⟦([a-z0-9_]+)(?:=([^⟧]*))?⟧|⟨([a-z0-9_]+)(?:=([^⟩]*))?⟩")
Answer = tuple[str, int, int]


@dataclass(frozen=True)
class Case:
    """A text, the kind whose section it is in, and what must be found in it: (kind, start, end), in order."""

    about: str
    text: str
    answers: tuple[Answer, ...]


@cache
def cases(part: str) -> tuple[Case, ...]:
    """The cases of one part, always the same ones."""
    chance = random.Random(f"{SEED} {part}")
    made: list[Case] = []
    about = ""
    for line in (FOLDER / f"{part}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            about = line[1:-1]
        elif line and not line.startswith("//"):
            count, text = line.split("|", 1)
            made += [filled(about, text.replace("\\n", "\n").replace("\\t", "\t"), chance) for _ in range(int(count))]
    return tuple(made)


def filled(about: str, template: str, chance: random.Random) -> Case:
    """The case of a template, with a value in every slot."""
    pieces: list[str] = []
    answers: list[Answer] = []
    length = position = 0
    for slot in SLOT.finditer(template):
        positive, form, other, other_form = slot.groups()
        pieces.append(template[position : slot.start()])
        length += len(pieces[-1])
        name = positive or other
        given = form if positive else other_form
        value = VALUES[name](chance) if given is None else digits_in(given, chance)
        if positive:
            answers.append((KIND_OF.get(name, name), length, length + len(value)))
        pieces.append(value)
        length += len(value)
        position = slot.end()
    text = "".join([*pieces, template[position:]])
    assert "⟦" not in text and "⟨" not in text, template
    return Case(about, text, tuple(answers))


def digits_in(form: str, chance: random.Random) -> str:
    """The form with digits for # and %."""
    return re.sub("[#%]", lambda mark: str(chance.randint(0 if mark[0] == "#" else 2, 9)), form)


def luhn_digit(digits: str) -> str:
    """The check digit of ISO 7812 for these digits: with it, the doubled sum is a multiple of ten."""
    total = 0
    for place, digit in enumerate(digits[::-1]):
        total += sum(map(int, str(int(digit) * (2 if place % 2 == 0 else 1))))
    return str(-total % 10)


def mod97_digits(country: str, account: str) -> str:
    """The check digits of ISO 13616 for an account: 98 minus the remainder of the whole by 97."""
    as_number = "".join(str(string.digits.find(c) if c.isdigit() else ord(c) - 55) for c in account + country + "00")
    return f"{98 - int(as_number) % 97:02d}"


def _text(chance: random.Random, letters: str, length: int) -> str:
    return "".join(chance.choice(letters) for _ in range(length))


def _card(chance: random.Random) -> str:
    prefix, length = chance.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("6011", 16), ("34", 15), ("37", 15)]
    )
    digits = prefix + _text(chance, string.digits, length - 1 - len(prefix))
    return digits + luhn_digit(digits)


def _card_grouped(chance: random.Random, separator: str) -> str:
    digits = _card(chance)
    groups = (0, 4, 8, 12, 16) if len(digits) == 16 else (0, 4, 10, 15)
    return separator.join(digits[start:end] for start, end in zip(groups, groups[1:]))


def _wrong_card(chance: random.Random) -> str:
    digits = _card(chance)
    return digits[:-1] + str((int(digits[-1]) + chance.randint(1, 9)) % 10)


# Accounts as national banks write them: letters are A, digits 0.
_ACCOUNTS = {
    "DE": "0" * 18, "GB": "AAAA" + "0" * 14, "FR": "0" * 23, "NL": "AAAA" + "0" * 10, "ES": "0" * 20, "CH": "0" * 17,
    "AT": "0" * 16, "BE": "0" * 12, "IT": "A" + "0" * 22, "PL": "0" * 24, "SE": "0" * 20, "NO": "0" * 11,
    "IE": "AAAA" + "0" * 14, "PT": "0" * 21, "DK": "0" * 14, "MT": "AAAA" + "0" * 23, "SA": "0" * 20, "TR": "0" * 22,
}  # fmt: skip


def _iban(chance: random.Random) -> str:
    country = chance.choice(sorted(_ACCOUNTS))
    account = "".join(chance.choice(string.ascii_uppercase if c == "A" else string.digits) for c in _ACCOUNTS[country])
    return country + mod97_digits(country, account) + account


def _in_fours(text: str) -> str:
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def _wrong_iban(chance: random.Random) -> str:
    text = _iban(chance)
    return text[:2] + f"{(int(text[2:4]) + chance.randint(1, 90)) % 98:02d}" + text[4:]


def _ip(chance: random.Random) -> str:
    """A public address of the kind that providers give: neither reserved nor a public name server."""
    first = chance.choice([n for n in range(12, 223) if n not in (100, 127, 169, 172, 192, 198, 203)])
    return f"{first}.{chance.randint(1, 254)}.{chance.randint(0, 255)}.{chance.randint(1, 254)}"


def _ip6(chance: random.Random) -> str:
    groups = [f"{chance.randrange(0x2A00, 0x2A0F):x}", *(f"{chance.randrange(1, 0xFFFF):x}" for _ in range(7))]
    form = chance.randrange(4)
    if form == 0:
        return ":".join(groups)
    if form == 1:
        return ":".join(groups[:3]) + "::" + groups[7]
    if form == 2:
        return ":".join(group.upper().zfill(4) for group in groups)
    return ":".join(groups[:4]) + "::" + ":".join(groups[6:])


def _version4(chance: random.Random) -> str:
    """A version in four parts as products number theirs: small numbers first, builds last, zeros in between."""
    last = chance.choice([chance.randint(0, 9), chance.randint(10, 99), chance.randint(100, 30000)])
    middle = (chance.choice([0, 0, 1, 2, chance.randint(0, 30)]) for _ in range(2))
    return ".".join(map(str, [chance.randint(1, 24), *middle, last]))


def _section4(chance: random.Random) -> str:
    return ".".join(str(chance.randint(1, 12)) for _ in range(4))


def _oid(chance: random.Random) -> str:
    return "1.3.6.1.4.1." + ".".join(str(chance.randint(1, 400)) for _ in range(chance.randint(2, 4)))


_NAMES = [
    "maria.keller",
    "t.okafor",
    "j_lindqvist",
    "anne-sophie",
    "bo",
    "kwame99",
    "priya.raman+shop",
    "l.oneill",
    "w2",
]
_DOMAINS = ["nordwind-verlag.de", "brightwell.co.uk", "mail.atelier-leclerc.fr", "okafor.ng", "quietharbor.org",
            "kestrel-labs.io", "uni-tannau.edu", "gmail.com", "lindqvist.se"]  # fmt: skip
_BASE64 = string.ascii_letters + string.digits
_URLSAFE = _BASE64 + "_-"


def _key(chance: random.Random) -> str:
    """A key in a format that a vendor documents."""
    make: tuple[Callable[[], str], ...] = (
        lambda: "AKIA" + _text(chance, string.ascii_uppercase + "234567", 16),
        lambda: "ghp_" + _text(chance, _BASE64, 36),
        lambda: "github_pat_" + _text(chance, _BASE64, 22) + "_" + _text(chance, _BASE64, 59),
        lambda: "sk-" + _text(chance, _BASE64, 20) + "T3BlbkFJ" + _text(chance, _BASE64, 20),
        lambda: "sk-proj-" + _text(chance, _URLSAFE, 47) + "A",
        lambda: "sk-ant-api03-" + _text(chance, _URLSAFE, 93) + "AA",
        lambda: "xoxb-" + _text(chance, string.digits, 12) + "-" + _text(chance, _BASE64, 24),
        lambda: "AIza" + _text(chance, _URLSAFE, 34) + "Q",
        lambda: "sk_live_" + _text(chance, _BASE64, 24),
        lambda: "hf_" + _text(chance, string.ascii_letters, 34),
        lambda: "glpat-" + _text(chance, _BASE64, 20),
        lambda: "SG." + _text(chance, _URLSAFE, 21) + "a." + _text(chance, _URLSAFE, 42) + "a",
        lambda: "npm_" + _text(chance, _BASE64, 36),
        lambda: "eyJhbGciOiJIUzI1NiJ9.eyJ" + _text(chance, _BASE64, 40) + "." + _text(chance, _BASE64, 43),
    )
    return chance.choice(make)()


def _pem(chance: random.Random) -> str:
    name = chance.choice(["RSA ", "", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "])
    body = "\n".join(_text(chance, _BASE64 + "+/", 64) for _ in range(chance.randint(2, 6)))
    return f"-----BEGIN {name}PRIVATE KEY-----\n{body}==\n-----END {name}PRIVATE KEY-----"


def _isbn13(chance: random.Random) -> str:
    digits = "978" + _text(chance, string.digits, 9)
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    digits += str(-total % 10)
    return f"{digits[:3]}-{digits[3]}-{digits[4:8]}-{digits[8:12]}-{digits[12]}"


def _isbn10(chance: random.Random) -> str:
    digits = _text(chance, string.digits, 9)
    check = -sum(int(digit) * (10 - place) for place, digit in enumerate(digits)) % 11
    return f"{digits[0]}-{digits[1:5]}-{digits[5:9]}-{'X' if check == 10 else check}"


VALUES: Mapping[str, Callable[[random.Random], str]] = {
    "email": lambda chance: chance.choice(_NAMES) + "@" + chance.choice(_DOMAINS),
    "iban": _iban,
    "iban_spaced": lambda chance: _in_fours(_iban(chance)),
    "credit_card": lambda chance: _card_grouped(chance, chance.choice(" -")),
    "card_plain": _card,
    "ip": _ip,
    "ip6": _ip6,
    "api_key": _key,
    "private_key": _pem,
    "version4": _version4,
    "section4": _section4,
    "oid": _oid,
    "wrong_card": _wrong_card,
    "wrong_iban": lambda chance: chance.choice([_wrong_iban(chance), _in_fours(_wrong_iban(chance))]),
    "isbn13": _isbn13,
    "isbn10": _isbn10,
    "uuid": lambda chance: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
    "md5": lambda chance: f"{chance.getrandbits(128):032x}",
    "sha1": lambda chance: f"{chance.getrandbits(160):040x}",
    "sha256": lambda chance: f"{chance.getrandbits(256):064x}",
    "base64": lambda chance: _text(chance, _BASE64 + "+/", chance.choice([24, 40, 60])),
    "int": lambda chance: str(chance.randrange(10 ** chance.randint(1, 12))),
    "small": lambda chance: str(chance.randint(2, 99)),
    "price": lambda chance: f"{chance.randint(1, 9999):,}.{chance.randint(0, 99):02d}",
    "float": lambda chance: repr(chance.random() * 10 ** chance.randint(-3, 6)),
    "date": lambda chance: f"{chance.randint(1990, 2026)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
    "date_dotted": lambda chance: (
        f"{chance.randint(1, 28):02d}.{chance.randint(1, 12):02d}.{chance.randint(1950, 2026)}"
    ),
    "time": lambda chance: f"{chance.randint(0, 23):02d}:{chance.randint(0, 59):02d}:{chance.randint(0, 59):02d}",
    "epoch": lambda chance: str(chance.randint(1_500_000_000, 1_790_000_000)),
    "mac": lambda chance: ":".join(f"{chance.randrange(256):02x}" for _ in range(6)),
}
KIND_OF = {"iban_spaced": "iban", "card_plain": "credit_card", "ip": "ip_address", "ip6": "ip_address"}
