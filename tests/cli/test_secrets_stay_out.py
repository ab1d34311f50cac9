"""Credentials in addresses, and secrets and personal data in rows, are in no file of a dataset and no printed line."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import call
from fsspec import AbstractFileSystem
from fsspec.registry import _registry as registered
from hypothesis import given, settings
from hypothesis import strategies as st

ROWS = [{"prompt": f"What is {n}?", "completion": f"It is {n}."} for n in range(3)]
DATA = "".join(json.dumps(row) + "\n" for row in [*ROWS, ROWS[0], {"prompt": "Hm?", "completion": " "}]).encode()
SECRET = st.text("ABCDEFGHJKMNPQRSTUVWXYZ23456789", min_size=16, max_size=24)


class Web(AbstractFileSystem):
    """In place of the web, which tests do not ask: a file, and errors that name the address as its clients do."""

    protocol = ("http", "https")
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def _open(self, path: str, mode: str = "rb", *_: object, **__: object) -> io.BytesIO:
        address = urlsplit(path)
        if address.path == "/a.jsonl":
            return io.BytesIO(DATA)
        errors: dict[str, Exception] = {
            "/404/b.jsonl": FileNotFoundError(path),
            "/403/b.jsonl": PermissionError(f"403, message='Forbidden', url=URL('{quote(path)}')"),
            "/500/b.jsonl": ValueError(
                f"Max retries exceeded with url: {address.path}?{address.query} as {address.netloc}"
            ),
        }
        raise errors.get(address.path, RuntimeError(f"{address}"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    fsspec.get_filesystem_class("memory")
    before = {name: registered.get(name) for name in Web.protocol}
    for name in Web.protocol:
        fsspec.register_implementation(name, Web, clobber=True)
    yield "server.test"
    for name, known in before.items():
        registered.pop(name, None)
        if known is not None:
            fsspec.register_implementation(name, known, clobber=True)


def everything_in(folder: Path) -> str:
    """Names and contents of all files, those of compressed ones too."""
    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(path.relative_to(folder).as_posix())
        if path.suffix == ".parquet":
            parts.append(repr(pq.read_table(path).to_pylist()))
        elif path.suffix == ".arrow" and "pieces" in path.parts:
            with pa.memory_map(str(path)) as file:
                parts.append(repr(pa.ipc.open_file(file).read_all().to_pylist()))
        if path.is_file():
            parts.append(path.read_bytes().decode("latin-1"))
    return "\n".join(parts)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def prepare(tokenizer: Path, out: Path, *arguments: object) -> tuple[int, str]:
    code, output, error = call("prepare", *arguments, "--tokenizer", tokenizer, "--out", out, "--workers", 1)
    return code, output + error


@settings(max_examples=4)
@given(secret=SECRET, other=SECRET, place=st.sampled_from(["{x}:x{x}@", "?token={x}", "?sig={x}#{x}", "?{x}={x}&v=1"]))
def test_a_dataset_and_all_commands_have_nothing_of_a_token_and_are_the_same_with_another(
    server: str, tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory, secret: str, other: str, place: str
) -> None:
    folder = tmp_path_factory.mktemp("secret")
    found = []
    for number, token in enumerate((secret, other)):
        user, _, query = place.format(x=token).rpartition("@")
        address = f"http://{user}{'@' if user else ''}{server}/a.jsonl{query}"
        settings_file = folder / f"{number}.yaml"
        settings_file.write_text(json.dumps({"sources": [{"path": address}], "decontaminate": {"against": [address]}}))
        out = folder / f"o{number}"
        code, said = prepare(tiny_tokenizer, out, address, "dedup.near={}", "--keep-work")
        assert code == 0, said
        for command in (["why", out, "a.jsonl:4"], ["why", out, "a.jsonl:9"], ["inspect", out], ["verify", out]):
            said += "".join(map(str, call(*command)))
        said += "".join(map(str, call("check", "--json", settings_file, "--against", address)))
        code, more = prepare(tiny_tokenizer, folder / "c", settings_file)  # all rows are in the evaluation file
        said += more + everything_in(folder / "c")
        shutil.rmtree(folder / "c", ignore_errors=True)
        assert token not in said + everything_in(out)
        assert server in said
        found.append({name: data for name, data in bytes_of(out).items() if not name.startswith(".work")})
    assert found[0] == found[1]


@settings(max_examples=8)
@given(
    secret=SECRET,
    address=st.sampled_from(
        [
            "http://{x}:{x}@SERVER/403/b.jsonl?token={x}",
            "http://SERVER/404/b.jsonl?token={x}#{x}",
            "http://SERVER/500/b.jsonl?X-Amz-Signature={x}",
            "http://SERVER/a.jsonl.gz?token={x}",
            "http://SERVER/a.xyz?token={x}",
            "http://SERVER/none.jsonl?token={x}",
            "memory://{x}:{x}@nowhere/a.jsonl",
            "memory://u:{x}@nowhere/*.jsonl?token={x}",
            "nosuchscheme://u:{x}@host/a.jsonl",
            "simplecache::http://u:{x}@SERVER/none.jsonl?token={x}",
        ]
    ),
)
def test_an_error_says_nothing_of_a_token(
    server: str, tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory, secret: str, address: str
) -> None:
    folder = tmp_path_factory.mktemp("wrong")
    address = address.format(x=secret).replace("SERVER", server)
    (folder / "c.yaml").write_text(f"sources: [{{path: '{address}', fromat: x}}]\nout: {address}\n")
    (folder / "d.yaml").write_text(f"sources: {address}: x: y\n")
    commands: list[list[object]] = [["check", address], ["check", "--json", "--against", address, address]]
    commands += [["prepare", folder / "c.yaml"], ["prepare", folder / "d.yaml"], ["check", f"sources.0.path={address}"]]
    commands += [["prepare", folder / "x.jsonl", "--tokenizer", address, "--out", folder / "o", f"template={address}"]]
    commands += [["verify", address], ["inspect", address], ["why", address, address], ["templates", "check", address]]
    (folder / "x.jsonl").write_bytes(DATA)
    for command in [*commands, ["prepare", address, "--out", address, "--tokenizer", tiny_tokenizer]]:
        code, output, error = call(*command)
        assert code == 1, command
        assert secret not in output + error


EMAIL, KEY = "anna.schmidt@firma-nord.de", "sk-proj-Zx8Kq3Lm9Pw2Rt5Vy7Bn4Dc6Fg1Hj0"
CALL = {"type": "function", "function": {"name": "f", "arguments": {"n": "SECRET"}}}
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}


def _chat(*turns: object) -> dict[str, object]:
    return {"messages": list(turns)}


def _user(text: str = "Hi") -> dict[str, object]:
    return {"role": "user", "content": text}


DROPPED = [  # rows that are dropped for many reasons, whose details quote them
    _chat({"role": "SECRET", "content": "Hi"}, {"role": "assistant", "content": "x"}),
    _chat({"role": "from SECRET at home", "content": "Hi"}, {"role": "assistant", "content": "x"}),
    _chat({"role": "a long name of a role SECRET", "content": "Hi"}, {"role": "assistant", "content": "x"}),
    {"messages": "SECRET"},
    {"SECRET": "SECRET", "b": 1},
    {"messages": ["SECRET", "SECRET"]},
    _chat(_user(), {"role": "assistant", "content": {"SECRET": 1}}),
    _chat(_user(), {"role": "assistant", "content": [{"type": "SECRET"}]}),
    _chat(_user(), {"role": "assistant", "content": "x", "weight": "SECRET"}),
    _chat(_user(), {"role": "assistant", "content": "x", "train": "SECRET"}),
    _chat(_user(), {"role": "assistant", "content": "", "tool_calls": "SECRET"}),
    _chat(
        _user(),
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "SECRET"}}]},
    ),
    _chat(
        _user(),
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "SECRET", "arguments": "{"}}]},
    ),
    {**_chat(_user(), {"role": "assistant", "content": "", "tool_calls": [CALL]}), "tools": [TOOL]},
    {**_chat(_user(), {"role": "assistant", "content": "x"}), "tools": "SECRET"},
    {**_chat(_user(), {"role": "assistant", "content": "x"}), "tools": [{"SECRET": 1}]},
    {"prompt": "SECRET", "completion": ["SECRET"]},
    {"prompt": "SECRET", "completion": "As an AI language model, I cannot help with SECRET."},
    {"prompt": "x", "completion": "SECRET " * 40},
    {"instruction": "a", "output": {"SECRET": "SECRET"}},
    {"conversations": [{"from": "SECRET", "value": "x"}]},
    {**_chat(_user(), {"role": "assistant", "content": "x"}), "conversations": [{"from": "human", "value": "SECRET"}]},
    {
        "messages": [_user(), {"role": "assistant", "content": '<tool_call>{"name": "SECRET</tool_call>'}],
        "tools": [TOOL],
    },
    _chat(_user("SECRET"), _user("SECRET"), {"role": "assistant", "content": "x"}),
    {"prompt": "The quick brown SECRET fox jumps over the lazy dog today", "completion": "A test of SECRET."},
    "SECRET",
    ["SECRET"],
]


@pytest.mark.parametrize(("secret", "mode"), [(EMAIL, "redact"), (KEY, "redact"), (KEY, "off"), (EMAIL, "drop")])
def test_details_notes_and_errors_have_no_secrets_and_with_privacy_no_personal_data(
    secret: str, mode: str, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    rows = [json.loads(json.dumps(row).replace("SECRET", secret)) for row in DROPPED]
    good = [{"prompt": f"Question {n}?", "completion": f"The answer is {n}, of course."} for n in range(3)]
    lines = [json.dumps(row) + "\n" for row in [*good, *rows]]
    lines.append(f'{{"prompt": "{secret}", "completion": {secret}}}\n')
    (tmp_path / "a.jsonl").write_text("".join(lines))
    exam = {"prompt": f"The quick brown {secret} fox jumps over the lazy dog today", "completion": "x"}
    (tmp_path / "exam.jsonl").write_text(json.dumps(exam) + "\n")
    out = tmp_path / "out"
    common = (f"privacy={mode}", "filters=strict", f"decontaminate.against=[{tmp_path / 'exam.jsonl'}]")
    code, said = prepare(tiny_tokenizer, out, tmp_path / "a.jsonl", *common)
    assert code == 0, said
    ledger = pq.read_table(out / "ledger").to_pylist()
    dropped = [row for row in ledger if row["fate"] == "dropped"]
    assert len(dropped) >= 20
    assert len({row["reason"] for row in dropped}) >= 6
    written = json.dumps([ledger, json.loads((out / "manifest.json").read_text())], default=str, ensure_ascii=False)
    for row in dropped:
        said += call("why", out, row["where"])[1]
    for part in (secret, secret[:12], secret[-10:]):
        assert part not in written
        assert part not in said
    for number, row in enumerate(rows):  # and where no row can be used
        (tmp_path / f"{number}.jsonl").write_text(json.dumps(row) + "\n")
        code, said = prepare(tiny_tokenizer, tmp_path / f"o{number}", tmp_path / f"{number}.jsonl", f"privacy={mode}")
        assert (secret[:12] not in said) == (code in (0, 1)), said


def test_with_privacy_off_the_detail_quotes_the_row(tiny_tokenizer: Path, tmp_path: Path) -> None:
    row = json.loads(json.dumps(DROPPED[0]).replace("SECRET", EMAIL))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in [*ROWS, row]))
    assert prepare(tiny_tokenizer, tmp_path / "out", tmp_path / "a.jsonl")[0] == 0
    assert EMAIL in str(pq.read_table(tmp_path / "out" / "ledger")["detail"].to_pylist()[-1])


def test_kept_texts_are_redacted_where_the_rows_are_and_kept_numbers_stay(tiny_tokenizer: Path, tmp_path: Path) -> None:
    rows = [{**row, "by": EMAIL, "user": 17} for row in ROWS]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for mode, shown in (("redact", "[EMAIL]"), ("off", EMAIL)):
        config = {"sources": [{"path": str(tmp_path / "a.jsonl"), "keep": ["by", "user"]}], "privacy": mode}
        (tmp_path / "c.yaml").write_text(json.dumps(config))
        assert prepare(tiny_tokenizer, tmp_path / mode, tmp_path / "c.yaml")[0] == 0
        kept = pq.read_table(tmp_path / mode / "ledger", columns=["by", "user"]).to_pylist()
        assert kept == [{"by": shown, "user": "17"}] * 3
