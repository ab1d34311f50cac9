"""Personal data: what is found, what only looks like it, and what redaction leaves.

Numbers and keys below are made up or official examples. Long keys are concatenated, so that secret scanners do not
report this file.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sftdata.curate.privacy.redact import (
    PLACEHOLDERS,
    Finding,
    describe,
    find_private,
    redact,
    redact_record,
)
from sftdata.curate.privacy.settings import KINDS, PrivacyConfig
from sftdata.curate.quality.settings import FilterConfig
from sftdata.curate.stage import FilterAndRedact
from sftdata.records.record import Drop, Message, Record, ToolCall

AWS = "AKIA" + "Q3EXZ7MPLK2VTNHD"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
DROPPING = FilterAndRedact(FilterConfig(), PrivacyConfig(mode="drop"))
PEM = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEpAIBAAKCAQEA\nq3x/k+Zz\n-----END RSA PRIVATE KEY-----"


def kinds(text: str, settings: PrivacyConfig | None = None) -> list[str]:
    return [finding.kind for finding in find_private(text, settings or PrivacyConfig())]


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        ("maria.keller@posteo.de", "email"),
        ("john+news@mail.example.co.uk", "email"),
        ("jürgen@müller.ch", "email"),
        ("yourik@posteo.de", "email"),
        ("jo@best-example.com", "email"),
        ("+49 30 901820", "phone"),
        ("+1 650 253 0000", "phone"),
        ("+442083661177", "phone"),
        ("(555) 123-4567", "phone"),
        ("555-123-4567", "phone"),
        ("1-800-273-8255", "phone"),
        ("650.253.0000", "phone"),
        ("020 8366 1177", "phone"),
        ("01 42 68 53 00", "phone"),
        ("06.12.34.56.78", "phone"),
        ("06-12-34-56-78", "phone"),
        ("0044 7911 123456", "phone"),
        ("+49\u00a030\u00a0901820", "phone"),
        ("０９０－１２３４－５６７８", "phone"),
        ("8.34.208.77", "ip_address"),
        ("2607:f8b0:4004:c07::71", "ip_address"),
        ("4539 1488 0343 6467", "credit_card"),
        ("5425-9031-7264-8819", "credit_card"),
        ("371245983016488", "credit_card"),
        ("4539\u00a01488\u00a00343\u00a06467", "credit_card"),
        ("3712 459830 16488", "credit_card"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("GB29NWBK60161331926819", "iban"),
        ("de89 3704 0044 0532 0130 00", "iban"),
        ("DE89-3704-0044-0532-0130-00", "iban"),
        ("MT84 MALT 0110 0001 2345 MTLC AST0 01S", "iban"),
        (AWS, "api_key"),
        ("ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "api_key"),
        ("sk-" + "a1B2c3D4e5F6g7H8i9J0T3BlbkFJk1L2m3N4o5P6q7R8s9T0", "api_key"),
        ("sk-proj-" + "a1B2c3D4e5F6g7H8i9J0_k1L2m3-N4o5P6q7R8s9T0", "api_key"),
        ("xoxb-" + "123456789012-1234567890123-QmW7tYp2Zk9LxRb4VnDs8Hcj", "api_key"),
        ("AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q", "api_key"),
        (JWT, "api_key"),
        (PEM, "private_key"),
    ],
)
def test_personal_data_is_found_completely_and_replaced(secret: str, kind: str) -> None:
    for before, after in [("", ""), ("Look: ", " or not."), ("(", ")"), ('"', '",'), ("\n", "\n"), ("是", "。")]:
        if before == "是" and kind not in ("credit_card", "iban"):
            continue  # Chinese characters are word characters, so a space separates them from other scripts
        text = before.replace("是", "是 ") + secret + after.replace("。", " 。")
        text_redacted, found = redact(text)
        assert [(finding.kind, text[finding.start : finding.end]) for finding in found] == [(kind, secret)]
        assert text_redacted == text.replace(secret, PLACEHOLDERS[kind])


@pytest.mark.parametrize(
    "text",
    [
        "She sold 48 + 24 = <<48+24=72>>72 clips, $1,234,567.89 in all, 3.14159265358979 each.",
        "#### 10000000000",
        "555-1234 - 1000 = 3",
        "between 0900-0130 and 1230-1400 on 01/02/2020, 2020-01-02, 09.11.2001",
        "domesticyears: 2006 -- 08 2004 2002 -- 03",
        "id 1234567890123456, order 20240115123456789, call_12345678901234567890",
        "timestamp 1700000000000, ISBN 978-3-16-148410-0, 1 2 3 4 5 6 7 8 9 10 11 12",
        "int x = 5551234567; y = 1234567890 * 2",
        "0xdeadbeef 550e8400-e29b-41d4-a716-446655440000",
        "version 1.2.3.4, v10.20.30.40, pip install a==1.2.3.4",
        "127.0.0.1 192.168.1.1 10.0.0.7 0.0.0.0 255.255.255.0 8.8.8.8 999.1.1.1 1.2.3.4.5",
        "std::cout << a::b; fe80::1 ::1 12:30:45 2001:db8::1",
        "git@github.com:user/repo.git, icon@2x.png, @decorator, a @ b, package@1.2.3",
        "john@example.com, a.b@mail.example.org, jo@firm.example, x@y.test",  # reserved for examples, RFC 2606
        "yourname@yourdomain.com your_email@gmail.com Your.Name@firm.com youremail@firm.de",
        "4539 1488 0343 6468",  # a wrong check digit
        "DE88 3704 0044 0532 0130 00",  # a wrong checksum
        "AB12 CDEF GHIJ KLMN OPQR",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, hf_your_token_here, sk-learn",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    ],
)
def test_other_numbers_and_identifiers_are_not_personal_data(text: str) -> None:
    assert find_private(text) == ()
    assert redact(text) == (text, ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("请发邮件到bo@ho.se。", "bo@ho.se"),
        ("メールはbo@ho.seまで", "bo@ho.se"),
        ("메일은 bo@ho.se로 보내세요", "bo@ho.se"),
        ("我的卡号是4539148803436467", "4539148803436467"),
        ("我的手机号是13800138000。", "13800138000"),
        ("电话010-1234-5678", "010-1234-5678"),
        ("服务器地址是91.240.118.172，端口22", "91.240.118.172"),
        ("账号DE89370400440532013000。", "DE89370400440532013000"),
        ("1,4539 1488 0343 6467,2027", "4539 1488 0343 6467"),
        ("Bo,(206) 923-8567,1999-08-27", "(206) 923-8567"),
        ("mail _bo@ho.se_ now", "bo@ho.se"),
        ("o'neill@ho.se", "o'neill@ho.se"),
        ("P: (415) 555-2671", "(415) 555-2671"),
        ("415-555-2671x12", "415-555-2671"),
        ("138-0013-8000是我的手机", "138-0013-8000"),
        ("card #4539 1488 0343 6467", "4539 1488 0343 6467"),
    ],
)
def test_what_touches_other_signs_is_found_without_them(text: str, found: str) -> None:
    assert [text[finding.start : finding.end] for finding in find_private(text)] == [found]


@pytest.mark.parametrize(
    "text",
    [
        "order 302-555-1234, model no. 713-590-5138, SKU 202-412-3975",
        "scores 010-020-030, lots 01-02-03-04, steps 010 020 030",
        "phone(35982393); call(4155552671)",
        "CPF 086.136.861-97",
        "shape 200-300-4000, open 0930 1015 1100",
        "06 15 24 33 42 51",
        "cells@meta.data$x, photo@1.5x.jpg",
        "ticket #4372196924658543",
    ],
)
def test_numbers_that_are_named_otherwise_are_not_personal_data(text: str) -> None:
    assert find_private(text) == ()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Phone: 6502530000", "6502530000"),
        ("call me at 650 253 0000 today", "650 253 0000"),
        ("my number: tel. 555-1234.", "555-1234"),
        ("WhatsApp 9876543210", "9876543210"),
        ("手机：13800138000", "13800138000"),
        ("phone: 07400 123456", "07400 123456"),
    ],
)
def test_digits_after_a_word_such_as_phone_are_a_phone_number(text: str, number: str) -> None:
    assert [text[finding.start : finding.end] for finding in find_private(text)] == [number]
    assert find_private(f"the sum of {number} apples") == () or number.startswith("0")


def test_a_finding_is_a_kind_and_a_place_and_never_the_text() -> None:
    assert find_private("Ask bo@ho.se.") == (Finding("email", 4, 12),)
    assert set(Finding.__slots__) == {"kind", "start", "end", "place"}


def test_the_kinds_to_look_for_can_be_chosen() -> None:
    text = "bo@ho.se, 555-123-4567, 192.168.0.1"
    assert kinds(text) == ["email", "phone"]
    assert kinds(text, PrivacyConfig.model_validate({"kinds": "phone"})) == ["phone"]
    assert kinds(text, PrivacyConfig(private_ips=True)) == ["email", "phone", "ip_address"]


def test_a_finding_revealed_by_replacing_its_neighbour_is_found_too() -> None:
    text = "call 6502530000-" + "bo@ho.se"
    redacted, _ = redact(text)
    assert redact(redacted) == (redacted, ())


RECORD = Record(
    messages=(
        Message(role="system", content="You are a clerk."),
        Message(role="user", content="Mail bo@ho.se or ring 555-123-4567."),
        Message(
            role="assistant",
            content=None,
            reasoning="The address is bo@ho.se.",
            tool_calls=(
                ToolCall(name="mail", arguments='{"to": ["bo@ho.se"], "card": 4539148803436467}', id="1"),
                ToolCall(name="mail", arguments={"to": "bo@ho.se", "n": 3, "ok": True}),
                ToolCall(name="noop", arguments='{"n":  1}'),
            ),
        ),
        Message(role="tool", content='{"sent": true}', tool_call_id="1"),
    ),
    tools=({"type": "function", "function": {"name": "mail", "description": "Ask bo@ho.se how."}},),
)


def test_numbers_beside_what_is_redacted_in_a_call_stay_as_they_are_written() -> None:
    digits = '"n":123456789012345678901234567890,"x":[-1.10,1E+3,true,null,0.1000000000000000055]'
    call = ToolCall(name="mail", arguments=f'{{"to": "bo@ho.se", {digits}}}')
    (message,) = redact_record(Record(messages=(Message(role="assistant", content=None, tool_calls=(call,)),)))[
        0
    ].messages
    assert message.tool_calls[0].arguments == f'{{"to":"[EMAIL]",{digits}}}'


def test_a_record_is_redacted_everywhere_and_its_json_stays_json() -> None:
    redacted, found = redact_record(RECORD)
    assert redacted.messages[0] is RECORD.messages[0]
    assert redacted.messages[1].content == "Mail [EMAIL] or ring [PHONE]."
    assert redacted.messages[2].reasoning == "The address is [EMAIL]."
    as_text, as_object, untouched = redacted.messages[2].tool_calls
    assert isinstance(as_text.arguments, str)
    assert json.loads(as_text.arguments) == {"to": ["[EMAIL]"], "card": "[CREDIT_CARD]"}
    assert as_object.arguments == {"to": "[EMAIL]", "n": 3, "ok": True}
    assert untouched.arguments == '{"n":  1}'
    assert redacted.messages[3] is RECORD.messages[3]
    assert redacted.tools[0]["function"]["description"] == "Ask [EMAIL] how."
    assert b"ho.se" not in redacted.to_json() and b"4539" not in redacted.to_json()
    assert [(finding.kind, finding.place) for finding in found] == [
        ("email", "message 2"),
        ("phone", "message 2"),
        ("email", "message 3, reasoning"),
        ("email", "message 3, tool call"),
        ("credit_card", "message 3, tool call"),
        ("email", "message 3, tool call"),
        ("email", "tools"),
    ]
    assert redact_record(redacted) == (redacted, ())


def test_a_record_without_findings_is_returned_unchanged() -> None:
    record = Record(messages=(Message(role="user", content="Hi"), Message(role="assistant", content="Hello")))
    assert redact_record(record)[0] is record
    assert DROPPING(record) == (record, None, {})


def test_a_plain_text_is_redacted() -> None:
    redacted, found = redact_record(Record(text="bo@ho.se"))
    assert redacted == Record(text="[EMAIL]")
    assert describe(found) == "1 email in text"


def test_the_detail_of_a_drop_has_counts_and_no_data() -> None:
    _, drop, _ = DROPPING(RECORD)
    assert drop is not None and drop.detail is not None
    assert drop == Drop("private_data", drop.detail)
    assert drop.detail.startswith("1 email in message 2, 1 phone in message 2, 1 email in message 3, reasoning")
    assert "bo@" not in drop.detail


@pytest.mark.parametrize(
    ("given", "mode"), [("redact", "redact"), (False, "off"), ({"mode": False}, "off"), ({}, "report")]
)
def test_a_bare_mode_is_accepted_and_yaml_reads_off_as_false(given: object, mode: str) -> None:
    assert PrivacyConfig.model_validate(given).mode == mode


@pytest.mark.parametrize("given", ["delete", {"kinds": ["name"]}, {"phone_regions": ["Germany"]}, {"mod": "drop"}])
def test_invalid_privacy_settings_are_rejected(given: object) -> None:
    with pytest.raises(ValidationError):
        PrivacyConfig.model_validate(given)


PIECES = [
    *("bo@ho.se", "@", "555-123-4567", "4539 1488 0343 6467", "+49 30 901820", "DE89 3704 0044 0532 0130 00", AWS),
    *("8.34.208.77", "2607:f8b0:4004:c07::71", "-----BEGIN PRIVATE" + " KEY-----", "-----END PRIVATE KEY-----"),
    *("8.9.7.29", "3.2.1.4", "91.240.118.172", "8.9.7", "IP ", "version ", "server ", ", ", "\n- ", "号是", "\u00a0"),
    *(
        "bo [at] ho [dot] se",
        "postgres://bo:",
        "h7Kq-2mZt9Lw",
        "ssh ",
        ":~/",
        "MIIEpAIBAAKCAQEA7q3x",
        "\\n",
        ".eyJ",
        "sk-",
    ),
    *("4539 1488 0343 6467 ", "650-253-0000 * ", "020 8366 1177,", "a@W.", "to", "se", ".Thanks", "(at)", "@", "..."),
    *("call ", "phone ", "650 253 0000", "[EMAIL]", "1", "0", " ", "-", ".", "(", ")", "+", ":", "/", "\n", "é", "x"),
]
TEXTS = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


@given(TEXTS)
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redacted, found = redact(text)
    assert redact(redacted) == (redacted, ())
    if not found:
        assert redacted == text


@given(TEXTS)
def test_findings_are_in_order_without_overlaps_and_the_rest_is_kept(text: str) -> None:
    redacted, found = redact(text)
    position, kept = 0, []
    for finding in found:
        assert position <= finding.start < finding.end <= len(text) and finding.kind in KINDS
        kept += [text[position : finding.start], PLACEHOLDERS[finding.kind]]
        position = finding.end
    assert redacted == "".join([*kept, text[position:]])


def test_nothing_in_gsm8k_is_mistaken_for_personal_data(shared: Path) -> None:
    for name in ("gsm8k_train.jsonl", "gsm8k_test.jsonl"):
        for line in (shared / "data" / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            assert find_private(row["question"]) == () and find_private(row["answer"]) == ()
