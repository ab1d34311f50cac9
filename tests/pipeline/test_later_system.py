"""A system message after another turn: trained where the template writes it, refused by name where it does not."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from raw_rows import write_lines

import sftdata
from sftdata.config import Config

ROW = {
    "messages": [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "Me."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Again?"},
        {"role": "assistant", "content": "Me, dear."},
    ]
}
ONLY_FIRST = (
    "{% for message in messages %}"
    "{% if message.role == 'system' and not loop.first %}{{ raise_exception('system must come first') }}{% endif %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def fate(tokenizer: Path, folder: Path, template: str) -> tuple[str | None, str | None]:
    source = str(write_lines(folder / "a.jsonl", [ROW, {"prompt": "Hi", "completion": "Hello"}]))
    sftdata.prepare(
        Config(tokenizer=str(tokenizer), template=template, sources=[source], out=str(folder / "out")), overwrite=True
    )
    row = pq.read_table(folder / "out" / "ledger").to_pylist()[0]
    return row["reason"], row["detail"]


def test_a_later_system_message_is_kept_where_the_template_writes_it(tiny_tokenizer: Path, tmp_path: Path) -> None:
    assert fate(tiny_tokenizer, tmp_path, "auto") == (None, None)


def test_a_later_system_message_that_the_template_refuses_is_named(tiny_tokenizer: Path, tmp_path: Path) -> None:
    template = tmp_path / "first.jinja"
    template.write_text(ONLY_FIRST)
    reason, detail = fate(tiny_tokenizer, tmp_path, str(template))
    assert reason == "system_not_first"
    assert str(detail).startswith("turn 3: ")
    assert "system must come first" in str(detail)
