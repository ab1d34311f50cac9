"""Nothing that a user's files, settings or rows hold reaches the terminal as a command, whatever is printed."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from command_line import call
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

# An escape sequence, a link, a title, C1, a carriage return, marks of direction, and a byte that is not UTF-8.
BAD = "\x1b[2J\x1b]8;;http://x\x07a\x1b]0;t\x07\x9b5m\r\u202e\u2066\u200b\x7f"
CONTROLS = st.text(
    st.one_of(
        st.sampled_from("\x1b\x07\x08\r\x7f\x85\x9b\u200e\u202a\u202e\u2066\u2028\ufeff\U000e0041"),
        st.characters(categories=["Cc", "Cf", "Zl", "Zp"], exclude_characters="\x00\n"),
    ),
    min_size=1,
    max_size=6,
)


def commands_in(text: str) -> set[str]:
    """The characters in a text that control a terminal or hide on it."""
    found = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return found - set("\n\t\u200c\u200d")


def printed_for(folder: Path, tokenizer: Path, bad: str) -> str:
    """What all commands print where `bad` is in every place that a user controls."""
    name = bad.replace("/", "")
    (folder / f"data{name}").mkdir(parents=True)
    data = folder / f"data{name}" / f"a{name}.jsonl"
    rows: list[object] = [
        {"prompt": f"One {bad}", "completion": f"Two {bad}", f"col{bad}": bad},
        {"messages": [{"role": f"r{bad}", "content": "x"}, {"role": "assistant", "content": bad}]},
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [{"type": bad}]}]},
        {f"key{bad}": bad},
        {"prompt": "x", "completion": " "},
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    template = folder / f"t{name}.jinja"
    template.write_text("{{ raise_exception('no " + json.dumps(bad)[1:-1] + "') }}" if "'" not in bad else "{{ x }}")
    config = {
        "sources": [{"path": str(data), "roles": {f"q{bad}": "user"}}],
        "template": str(template),
        f"set{bad}": bad,
        "seed": f"s{bad}",
    }
    (folder / f"c{name}.yaml").write_text(json.dumps(config))
    (folder / "broken.yaml").write_text(f'a: "{bad}\n b: [')
    out = folder / f"out{name}"
    common = ("--tokenizer", tokenizer, "--out", out, "--workers", 1)
    commands: list[tuple[object, ...]] = [
        ("prepare", data, *common),
        ("prepare", data, *common),
        ("prepare", data, *common, f"template={template}", "--overwrite"),
        ("prepare", data, *common, "--overwrite", f"x{bad}={bad}"),
        ("prepare", data, *common, "--overwrite", f"sources.0.roles={{{json.dumps(f'q{bad}')}: user}}"),
        ("prepare", data, *common, "--overwrite", f"sources.0.columns={{prompt: {json.dumps(bad)}}}"),
        ("prepare", data, *common, "--overwrite", f"sources.0.keep=[{json.dumps(f'col{bad}')}]"),
        ("prepare", data, "--tokenizer", folder / f"no{name}", "--out", out),
        ("prepare", folder / f"missing{name}.jsonl", *common),
        ("prepare", folder / f"c{name}.yaml", *common),
        ("prepare", folder / "broken.yaml", *common),
        ("check", data),
        ("check", "--json", data),
        ("check", data, "--against", f"{{x: {bad}}}"),
        ("verify", out),
        ("verify", f"no{name}"),
        ("inspect", out),
        ("inspect", out, "--split", f"s{bad}"),
        ("inspect", out, "--row", f"r{bad}"),
        ("why", out, f"a{name}.jsonl:2"),
        ("why", out, f"a{name}.jsonl:4"),
        ("why", out, f"b{bad}"),
        ("templates", "show", f"n{bad}"),
        ("templates", "check", str(template), "--tokenizer", tokenizer),
        (f"no{bad}",),
        ("prepare", f"--no{bad}"),
    ]
    said = []
    for command in commands:
        code, output, error = call(*command)
        assert code in (0, 1, 2), command
        assert "Traceback" not in error, command
        if command[:2] == ("check", "--json"):
            json.loads(output)
        said.append(output + error)
        assert commands_in(said[-1]) == set(), command
    from sfttrain.cli.app import app

    for arguments in ([str(out), "--model", f"m{bad}", "--out", f"o{name}"], [f"no{name}"], [f"x{bad}=1"], [f"-{bad}"]):
        result = CliRunner().invoke(app, ["run", *arguments])
        assert commands_in(result.output) == set(), arguments
        said.append(result.output)
    return "\n".join(said)


def test_what_is_printed_shows_the_characters_and_sends_none(tiny_tokenizer: Path, tmp_path: Path) -> None:
    said = printed_for(tmp_path, tiny_tokenizer, BAD)
    for shown in ("\u241b[2J", "\u241b]8;;http:", "<U+009B>5m\u240d<U+202E><U+2066><U+200B>\u2421"):
        assert shown in said


@settings(max_examples=4)
@given(bad=CONTROLS)
def test_no_character_of_any_kind_controls_the_terminal(
    tiny_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory, bad: str
) -> None:
    folder = tmp_path_factory.mktemp("bad")
    printed_for(folder, tiny_tokenizer, bad)
    shutil.rmtree(folder)


def test_on_a_terminal_the_bar_and_the_colours_are_drawn_and_the_data_is_shown(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    data = tmp_path / "a\x1b[5mb\u202e.jsonl"
    rows = [{"messages": [{"role": f"r{n}\x1b[5m", "content": "x"}]} for n in range(2)]
    rows.append({"prompt": "Hi \x1b[5m", "completion": "Yes \x1b[5m \u202e."})  # type: ignore[dict-item]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    program = [sys.executable, "-m", "sftdata"]
    said = b""
    for arguments in (["prepare", data, "--tokenizer", tiny_tokenizer, "--out", "out"], ["inspect", "out"]):
        above, below = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
        run = subprocess.Popen(
            [*program, *map(str, arguments)], stdout=below, stderr=below, stdin=below, cwd=tmp_path, env=environment
        )
        os.close(below)
        while True:
            try:
                said += (part := os.read(above, 1 << 16))
            except OSError:  # the other end is closed
                break
            if not part:
                break
        os.close(above)
        assert run.wait(timeout=120) == 0, said
    text = said.decode()
    assert "\x1b[5m" not in text
    assert "\u202e" not in text
    assert "\u241b[5m" in text
    assert re.search("\x1b\\[[0-9;]*m", text)  # colours of ours


@pytest.mark.skipif(sys.platform != "linux", reason="names of files that are not UTF-8 are of Linux")
def test_a_name_that_is_not_utf_8_and_an_encoding_that_lacks_characters_end_no_command(
    tiny_tokenizer: Path, tmp_path: Path
) -> None:
    data = os.path.join(os.fsencode(tmp_path), b"a\xff\xe4.jsonl")  # noqa: PTH118 - bytes
    Path(os.fsdecode(data)).write_text('{"prompt": "Hi", "completion": "Caf\u00e9 \u4f60"}\n')
    for encoding in ("ascii", "latin-1"):
        run = subprocess.run(
            [sys.executable, "-m", "sftdata", "prepare", data, "--tokenizer", tiny_tokenizer, "--out", encoding],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert b"Traceback" not in run.stderr
