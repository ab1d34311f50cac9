"""Private keys and API keys: where they end, and the examples that documentation gives."""

from __future__ import annotations

import pytest

from sftdata.curate.privacy.redact import find_private, redact

BEGIN, END = "-----BEGIN RSA PRIVATE" + " KEY-----", "-----END RSA PRIVATE" + " KEY-----"
LINE = "MIIEpAIBAAKCAQEA7q3xk+Zz8LmWn2Yc4HbS1FgJk6Uo5XvT0QiEzNwBsDaPr3Cd"


@pytest.mark.parametrize(
    "text",
    [
        f"if line.startswith('{BEGIN}'): return True\n\nThen do X.\n\nSTEP TWO: read the rest.",
        f"A key stands between {BEGIN} and {END}, in base64.",
        f"{BEGIN}\n{END}",
        f"{BEGIN}\n...\n{END}",
        f"{BEGIN}\nMIIEpAIBAAKC...\n{END}",
        f"{BEGIN}\nMIIEpAIBAAKCAQEA7q3x...",
        f"{BEGIN}\nMIIEpAIBAAKCAQEA7q3x\n...snip...\n{END}",
        f"{BEGIN}\n<your key>\n{END}",
        f"{BEGIN}\nYourBase64EncodedKeyHere\n{END}",
        f"{BEGIN}\nand so on\n",
        BEGIN,
    ],
)
def test_a_text_that_only_names_the_marks_of_a_key_stays_as_it_is(text: str) -> None:
    assert redact(text) == (text, ())


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"a\n{BEGIN}\n{LINE}\nq3x/k+Zz==\n{END}\nb", "a\n[PRIVATE_KEY]\nb"),
        (f"a {BEGIN}\n{LINE}\nThen do X.", "a [PRIVATE_KEY]\nThen do X."),
        (f"a {BEGIN}\n{LINE}\n\nSTEP TWO", "a [PRIVATE_KEY]\n\nSTEP TWO"),
        (f'k = "{BEGIN}\\n{LINE}\\n{END}"; f(k)', 'k = "[PRIVATE_KEY]"; f(k)'),
        (f'k = "{BEGIN}\\n{LINE}"; f(k)', 'k = "[PRIVATE_KEY]"; f(k)'),
        (f"{BEGIN} {LINE} {END}", "[PRIVATE_KEY]"),
        (f"{BEGIN}\r\n{LINE}\r\n{END}\r\n", "[PRIVATE_KEY]\r\n"),
        (f"> {BEGIN}\n> Proc-Type: 4,ENCRYPTED\n>\n> {LINE}\n> {END}\nOk.", "> [PRIVATE_KEY]\nOk."),
        (f"{BEGIN}\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,1A\n\n{LINE}\nOk, go.", "[PRIVATE_KEY]\nOk, go."),
        (f"{BEGIN}\n{LINE}\n[...]\n{END}", "[PRIVATE_KEY]"),
        (f"{BEGIN} is how {BEGIN}\n{LINE}\n{END} begins", f"{BEGIN} is how [PRIVATE_KEY] begins"),
        (f"{BEGIN}\n{LINE}\n{BEGIN}\n{LINE}", "[PRIVATE_KEY]\n[PRIVATE_KEY]"),
    ],
)
def test_a_key_ends_at_its_end_or_where_the_base64_stops(text: str, redacted: str) -> None:
    assert redact(text)[0] == redacted


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
        "sk-xxxx, sk-..., sk-proj-" + "x" * 40,
        "sk-your-api-key-goes-here-1234567890",
        "sk-" + "1234567890abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL",
        "postgres://user:password@db.brightwell.co.uk/a",
        "postgres://postgres:postgres@db.brightwell.co.uk/a",
        "redis://:hunter22@localhost:6379, amqp://bo:${AMQP_KEY}@mq.brightwell.co.uk",
        "http://a.se:8080/x@y, ratio 3://4:5",
    ],
)
def test_keys_that_documentation_gives_are_no_secrets(text: str) -> None:
    assert find_private(text) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("postgres://app:h7Kq-2mZt9Lw@db1.kestrel-labs.io:5432/app", "h7Kq-2mZt9Lw"),
        ("git clone https://bo:k3yT9pQ2x@code.kestrel-labs.io/a.git", "k3yT9pQ2x"),
        ("a\\nghp_" + "Qm7tYp2Zk9LxRb4VnDs8HcjW3fGa5UeXo6TiC", "ghp_Qm7tYp2Zk9LxRb4VnDs8HcjW3fGa5UeXo6TiC"),
        (
            "id-eyJhbGciOiJIUzI1NiJ9" + ".eyJpc3MiOiJrZXN0cmVsIn0.dozjgNryP4J3jVmN",
            "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrZXN0cmVsIn0.dozjgNryP4J3jVmN",
        ),
    ],
)
def test_passwords_in_urls_and_web_tokens_are_found(text: str, found: str) -> None:
    assert [(finding.kind, text[finding.start : finding.end]) for finding in find_private(text)] == [("api_key", found)]
