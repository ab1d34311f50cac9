"""What finding personal data costs: in proportion to the length of a text, whatever is in it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sftdata.curate.privacy import redact as module
from sftdata.curate.privacy.redact import find_private, redact

CARD = "4539 1488 0343 6467"
KEY = "-----BEGIN PRIVATE" + " KEY-----"
END = "-----END PRIVATE" + " KEY-----"
BASE64 = "MIIEpAIBAAKCAQEA7q3xk+Zz8LmWn2Yc4HbS1FgJk6Uo5XvT0QiEzNwBsDaPr3Cd"
LONG_TEXTS: dict[str, Callable[[int], str]] = {
    # Digits
    "groups of digits": lambda n: "0123 " * n,
    "one long number": lambda n: "7" * 5 * n,
    "digits of other scripts": lambda n: "٣٣٣ ３３ " * n,
    "country codes": lambda n: "+1 " * n,
    "numbers with dots": lambda n: "1.2.3." * n,
    "one and dot": lambda n: "1." * 3 * n,
    "digits in parentheses": lambda n: "(1)" * 2 * n,
    "slashes": lambda n: "/" * 5 * n,
    "hyphens": lambda n: "-" * 5 * n,
    "opening parentheses": lambda n: "(" * 5 * n,
    "white space between digits": lambda n: "1" + " " * 5 * n + "1",
    "phone numbers": lambda n: "+1 650 253 0000 " * n,
    "words before phone numbers": lambda n: "phone 6502530000 " * n,
    "many such words": lambda n: "电话phone tel " * n,
    "versions": lambda n: "8.9.7.29, " * n,
    "addresses of machines": lambda n: " ".join(f"91.{number // 250}.{number % 250}.172" for number in range(n)),
    "colons": lambda n: "2a00:" * n + ":",
    "names of addresses": lambda n: ("1." * 32 + "ip6.arpa ") * (n // 10),
    "accounts": lambda n: "DE89-3704 " * n,
    # One finding reveals the next
    "cards": lambda n: f"{CARD} " * (n // 2),
    "cards of digits alone": lambda n: "4539148803436467 " * (n // 2),
    "numbers with stars": lambda n: "650-253-0000 * " * (n // 2),
    "national numbers with commas": lambda n: "020 8366 1177," * (n // 2),
    "addresses with hyphens": lambda n: "a@ho.se-" * (n // 2),
    # Words
    "mail addresses": lambda n: " ".join(f"bo{number}@ho{number}.se" for number in range(n)),
    "URLs": lambda n: " ".join(f"https://bo:p@ho{number}.se/a?b={number}" for number in range(n)),
    "a and @": lambda n: "a@" * 2 * n,
    "a.b": lambda n: "a.b" * 2 * n,
    "one long name": lambda n: "a" * 5 * n + "@",
    "one long domain": lambda n: "a@" + "b." * 2 * n,
    "one long label": lambda n: "a@" + "b-" * 2 * n,
    "per cent": lambda n: "%@" * 2 * n,
    "disguised addresses": lambda n: "bo [at] ho [dot] " * n,
    "dots in brackets": lambda n: "a(at)" + "b(dot)" * n,
    "logins in URLs": lambda n: "x://a:" * n,
    "shells": lambda n: "ssh -p 1 " * n + "a@ho.se",
    # Keys
    "BEGIN": lambda n: "-----BEGIN " * n,
    "keys without a body": lambda n: KEY * (n // 4),
    "keys without an end": lambda n: f"{KEY}\n{BASE64}\n" * (n // 8),
    "whole keys": lambda n: f"{KEY}\n{BASE64}\n{END}\n" * (n // 8),
    "one endless key": lambda n: f"{KEY}\n" + f"{BASE64}\n" * (n // 4),
    "headers of a key": lambda n: KEY + "\nAbc: d" * n,
    "base64": lambda n: BASE64 * (n // 8),
    "capital letters in base64": lambda n: f"{KEY}\n" + "aA1" * 2 * n,
    "beginnings of web tokens": lambda n: "-eyJhbGciOiJIUzI1" * n,
    "middles of web tokens": lambda n: "eyJhbGciOiJIUzI1." * n,
    "prefixes": lambda n: "sk-ant-xoxb-SG.glpat-ya29." * n,
    "API keys": lambda n: " ".join(f"ghp_{number:020d}aBcDeFgHiJkLmNoP" for number in range(n // 4)),
    "names of keys": lambda n: "secret_key=" * n,
}


def seconds(text: str) -> float:
    started = time.process_time()
    redact(text)
    return time.process_time() - started


@pytest.mark.parametrize("name", LONG_TEXTS)
def test_a_text_four_times_as_long_takes_at_most_about_six_times_as_long(name: str) -> None:
    """With the square of the length it would be sixteen times. A busy machine gets more tries; hundredths are noise."""
    short, long = LONG_TEXTS[name](1_000), LONG_TEXTS[name](4_000)
    assert any(seconds(long) <= 6 * seconds(short) + 0.05 for _ in range(5))


@pytest.mark.parametrize(
    "text", [f"{CARD} ", "4539148803436467 ", "650-253-0000 * ", "020 8366 1177,", "a@ho.se-", "a@ho.se+"]
)
def test_findings_that_reveal_each_other_take_no_more_searches_per_finding_the_more_there_are(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    search = module._search

    def counted(part: str, *rest: object) -> object:
        searched.append(len(part))
        return search(part, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_search", counted)
    sizes = []
    for count in (50, 200):
        searched.clear()
        assert len(find_private(text * count)) == count
        sizes.append(sum(searched))
    assert sizes[1] <= 6 * sizes[0]


@pytest.mark.parametrize("before", ["", "IP 91.240.118.172, version 8.9.7.29 "])
@pytest.mark.parametrize(
    "text", [f"{CARD} ", "4539148803436467 ", "650-253-0000 * ", "020 8366 1177,", "a@ho.se-", f"bo@ho.se+{CARD} "]
)
def test_searching_only_the_surroundings_finds_what_searching_the_whole_text_does(
    before: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = before + text * 40
    found = find_private(whole)
    monkeypatch.setattr(module, "_FULL_ROUNDS", 1_000_000)
    assert find_private(whole) == found
