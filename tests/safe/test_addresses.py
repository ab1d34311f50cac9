"""Addresses and messages without credentials. Answers are written by hand."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftdata.errors import SourceError
from sftdata.safe.addresses import hide, mask_credentials, safe_address

SECRET = st.text("ABCDEFGHJKMNPQRSTUVWXYZ23456789", min_size=12, max_size=24)  # not in any other part of an address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://anna:pass@host:8080/a.jsonl?token=x&version=3#y", "https://host:8080/a.jsonl?version=3"),
        ("https://h/a.jsonl?X-Amz-Signature=f&X-Amz-Credential=k&X-Amz-Date=d&x=1", "https://h/a.jsonl"),
        ("https://h/a.jsonl?sv=1&se=2026&sig=abc%2B&split=train", "https://h/a.jsonl?split=train"),
        ("s3://AKIAKEY:se/cr+et@bucket/data/*.jsonl", "s3://bucket/data/*.jsonl"),
        ("s3://bucket/part-?.jsonl", "s3://bucket/part-?.jsonl"),
        ("s3://bucket/part-?/date=2026/a.jsonl", "s3://bucket/part-?/date=2026/a.jsonl"),
        (
            "abfs://container@account.dfs.core.windows.net/a.jsonl?sig=x",
            "abfs://container@account.dfs.core.windows.net/a.jsonl",
        ),
        ("abfs://me:key@account/a.jsonl", "abfs://account/a.jsonl"),
        ("hf://datasets/ORG/NAME@main/a.jsonl", "hf://datasets/ORG/NAME@main/a.jsonl"),
        ("github://ORG:REPO@main/a.jsonl", "github://ORG:REPO@main/a.jsonl"),
        ("simplecache::https://u:p@h/a.jsonl?token=t", "simplecache::https://h/a.jsonl"),
        ("zip://a.jsonl::s3://k:s@bucket/a.zip", "zip://a.jsonl::s3://bucket/a.zip"),
        ("https://h/proxy/https://u:p@other/a.jsonl", "https://h/proxy/https://other/a.jsonl"),
        ("https://h/a.jsonl?next=https://u:p@other/b&token=t", "https://h/a.jsonl"),
        ("https://h/a.jsonl;jsessionid=abc", "https://h/a.jsonl"),
        ("http://[::1]:8000/a.jsonl", "http://[::1]:8000/a.jsonl"),
        ("sources.0.path=https://u:p@h/a.jsonl", "sources.0.path=https://h/a.jsonl"),
        ("http:/u:p@h/a", "http://h/a"),  # what Python makes of an address that is taken for a path
        ("unknown:/u:p@h/a", "unknown://h/a"),
        ("memory:///u:p@store/a.jsonl", "memory:///store/a.jsonl"),
        ("hdfs:///data/x@y.jsonl", "hdfs:///data/x@y.jsonl"),
        ("file:///C:/data/x@y.jsonl", "file:///C:/data/x@y.jsonl"),
        ("data/who?token=1#x.jsonl", "data/who?token=1#x.jsonl"),  # the name of a local file
    ],
)
def test_an_address_is_written_without_credentials_and_else_as_it_is(address: str, shown: str) -> None:
    assert safe_address(address) == shown
    assert safe_address(shown) == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "404, message='Not Found', url='https://u:p@h/x?token=abc'), again",
            "404, message='Not Found', url='https://h/x'), again",
        ),
        (
            "Max retries exceeded with url: /x.jsonl?token=abc&sig=1 (Caused by",
            "Max retries exceeded with url: /x.jsonl (Caused by",
        ),
        ("AccountName=a;AccountKey=abc==;Suffix=x", "AccountName=a;AccountKey=***;Suffix=x"),
        ("Authorization: Bearer abcdef", "Authorization: ***"),
        ("{'token': 'abc', \"password\": \"x\"}", "{'token': '***', \"password\": \"***\"}"),
        ("invalid user token hf_AbCdEfGhIjKlMnOpQrSt.", "invalid user token ***."),
        ("did you mean https://h/x?", "did you mean https://h/x?"),
        ("the control token: <|im_end|>; set eos_token", "the control token: <|im_end|>; set eos_token"),
        ("write {path: FILE, columns: {prompt: q}}", "write {path: FILE, columns: {prompt: q}}"),
    ],
)
def test_a_message_is_shown_without_credentials_and_else_as_it_is(message: str, shown: str) -> None:
    assert mask_credentials(message) == shown


def test_what_a_library_says_of_an_address_hides_the_credentials_however_it_writes_them() -> None:
    said = 'Invalid bucket "AKIA:se cr/et@bucket"; signed with se%20cr%2Fet for AKIA'
    assert hide("s3://AKIA:se cr/et@bucket/a.jsonl", said) == 'Invalid bucket "***@bucket"; signed with *** for ***'


def test_an_error_for_users_has_no_credentials_in_any_part() -> None:
    error = SourceError("https://u:pw@h/a.jsonl?token=t", "cannot read https://u:pw@h/b", "set password='hunter2'")
    assert str(error) == "https://h/a.jsonl: cannot read https://h/b; set password='***'"
    assert (error.where, error.hint) == ("https://h/a.jsonl", "set password='***'")


@given(
    secret=SECRET,
    scheme=st.sampled_from(["http", "https", "s3", "gs", "ftp", "sftp", "abfs", "memory", "webdav+https"]),
    place=st.sampled_from(
        [
            "{s}://user:{x}@host/a.jsonl",
            "{s}://{x}:pass@host/a.jsonl",
            "{s}://user:a/{x}@host/a.jsonl",
            "{s}://user:a#{x}?b@host/a.jsonl",
            "{s}://host/a.jsonl?token={x}",
            "{s}://host/a.jsonl?v=1&X-Amz-Signature={x}&split=train",
            "{s}://host/a.jsonl?sig={x}%2B",
            "{s}://host/a.jsonl?any-name={x}",
            "{s}://host/a.jsonl#access_token={x}",
            "{s}://host/a.jsonl#{x}",
            "{s}://host/a.jsonl;sessionid={x}",
            "simplecache::{s}://user:{x}@host/a.jsonl?token={x}",
        ]
    ),
    around=st.sampled_from(["{}", "cannot open {}: gone", "url='{}'", '("{}",)', "{}, {}"]),
)
def test_a_secret_in_an_address_is_never_shown(secret: str, scheme: str, place: str, around: str) -> None:
    address = place.format(s=scheme, x=secret)
    assert secret not in safe_address(address)
    assert safe_address(address) == safe_address(place.format(s=scheme, x="OTHER2345678"))
    assert secret not in mask_credentials(around.format(address, address))
    assert secret not in hide(address, around.format(address, quote(address, safe="")))


@given(st.text(max_size=300))
def test_any_text_can_be_masked_and_masking_again_changes_nothing(text: str) -> None:
    assert safe_address(safe_address(text)) == safe_address(text)
    assert mask_credentials(mask_credentials(text)) == mask_credentials(text)


@pytest.mark.parametrize(
    "part", ["a", "/", "a:", "://", "a@", "token=", "?a=", "https://u:", ";sid=", "'", "eyJaaaaaaaaaaaa."]
)
def test_the_cost_of_masking_grows_with_the_text_and_not_its_square(part: str) -> None:
    text = part * (400_000 // len(part))
    assert len(mask_credentials(text)) <= len(text)
    assert len(safe_address(text)) <= len(text)
