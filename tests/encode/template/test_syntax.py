"""Templates that depend on a content are recognized, so that the plan of a shape is not used for them.

Each template writes other words before the answer if a condition on the last message holds. The encoder first gets a
conversation for which it does not hold. A plan made from it would be wrong for the second conversation.
"""

# ruff: noqa: E501 (tables read better with a row a line)
from __future__ import annotations

from datetime import date as Date
from pathlib import Path
from typing import Any

import pytest
import tiny_tokenizers
from families import DATE
from oracle import Oracle

from sftdata.encode.record_encoder import EncodeSettings, RecordEncoder
from sftdata.encode.template.jinja import make_environment
from sftdata.encode.template.syntax import find_content_use
from sftdata.encode.tokenizer.load import load_tokenizer
from sftdata.records.record import Message, Record

TURNS = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
)
PROMPT = (
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if CONDITION %}{{ 'FORCED ' }}{% endif %}{% endif %}"
)
# fmt: off
CONDITIONS: list[tuple[str, str, str, str]] = [
    # condition, template code before it, a text for which it holds, a text for which it does not
    ("'\n' in messages[-1].content", '', 'a\nb', 'ab'),
    ("'\n\n' in messages[-1]['content']", '', 'a\n\nb', 'ab'),
    ("messages[-1].content.split(' ')|length > 2", '', 'a b c', 'ab'),
    ("messages[-1].content.count(' ') > 1", '', 'a b c', 'ab'),
    ("not messages[-1].content.strip('abc')", '', 'cab', 'xyz'),
    ("not messages[-1].content|replace('x','')", '', 'xx', 'ab'),
    ("messages[-1]['cont' ~ 'ent'] == 'secret'", '', 'secret', 'ab'),
    ("messages[-1][key] == 'secret'", "{% set key = 'content' %}", 'secret', 'ab'),
    ("messages[-1].values()|list|last == 'secret'", '', 'secret', 'ab'),
    ("'secret' in messages[-1]|string", '', 'a secret', 'ab'),
    ("'secret' in messages|tojson", '', 'a secret', 'ab'),
    ("'secret' in (messages|map(attribute='content')|join)", '', 'a secret', 'ab'),
    ("messages|selectattr('content','equalto','secret')|list", '', 'secret', 'ab'),
    ("(messages|last).content == 'secret'", '', 'secret', 'ab'),
    ('ns.f', "{% set ns = namespace(f=false) %}{% for k, v in messages[-1].items() %}{% if v == 'secret' %}{% set ns.f = true %}{% endif %}{% endfor %}", 'secret', 'ab'),
    ('ns.n > 2', '{% set ns = namespace(n=0) %}{% for c in messages[-1].content %}{% set ns.n = ns.n + 1 %}{% endfor %}', 'abcd', 'ab'),
    ('ns.n > 2', "{% set ns = namespace(n=0) %}{% for c in messages[-1].content.split('\n') %}{% set ns.n = loop.index %}{% endfor %}", 'a\nb\nc\nd', 'ab'),
    ("m(messages[-1].content) == 'yes'", "{% macro m(x) %}{% if x == 'secret' %}yes{% endif %}{% endmacro %}", 'secret', 'ab'),
    ("m(messages[-1]) == 'yes'", "{% macro m() %}{% if varargs[0].content == 'secret' %}yes{% endif %}{% endmacro %}", 'secret', 'ab'),
    ("m(messages[-1].content) == 'yes'", "{% macro m() %}{% if varargs[0] == 'secret' %}yes{% endif %}{% endmacro %}", 'secret', 'ab'),
    ("m(x=messages[-1].content) == 'yes'", "{% macro m() %}{% if kwargs.x == 'secret' %}yes{% endif %}{% endmacro %}", 'secret', 'ab'),
    ("messages[-1].content < 'm'", '', 'abc', 'xyz'),
    ("messages[-1].content is eq('secret')", '', 'secret', 'ab'),
    ("messages[-1].content is in(['secret'])", '', 'secret', 'ab'),
    ('messages[-1].content is upper', '', 'ABC', 'abc'),
    ("messages[-1].content|lower == 'secret'", '', 'SECRET', 'abc'),
    ("messages[-1].content|trim|lower in ['secret']", '', 'SeCret', 'abc'),
    ("messages[-1].content|upper == 'SECRET'", '', 'secret', 'abc'),
    ("messages[-1].content|replace('x','') == 'secret'", '', 'sexcret', 'abc'),
    ("messages[-1].content.upper() == 'SECRET'", '', 'secret', 'abc'),
    ("messages[-1].content.lower().startswith('se')", '', 'SEcret', 'abc'),
    ("messages[-1].content[0] == 's'", '', 'secret', 'abc'),
    ("messages[-1].content[:2] == 'se'", '', 'secret', 'abc'),
    ("messages[-1].content|first == 's'", '', 'secret', 'abc'),
    ('messages[-1].content|int > 5', '', '9', 'abc'),
    ('messages[-1].content == messages[0].content', '', 'abc', 'xyz'),
    ("messages[-1].get('content') == 'secret'", '', 'secret', 'abc'),
    ("messages[-1].get(key) == 'secret'", "{% set key='content' %}", 'secret', 'abc'),
    ("x == 'secret'", '{% set x %}{{ messages[-1].content }}{% endset %}', 'secret', 'abc'),
    ("x.y == 'secret'", "{% set x = {'y': messages[-1].content} %}", 'secret', 'abc'),
    ("x[0] == 'secret'", '{% set x = [messages[-1].content] %}', 'secret', 'abc'),
    ("x == 'secret'", '{% set x, y = messages[-1].content, 1 %}', 'secret', 'abc'),
    ("x == ['secret']", "{% set x = messages|map(attribute='content')|list %}", 'secret', 'abc'),
    ("ns.x == 'secret'", "{% set ns = namespace(x='') %}{% for m in messages %}{% set ns.x = m.content %}{% endfor %}", 'secret', 'abc'),
    ("x.content == 'secret'", "{% set x = dict(content='a') %}{% set x = messages[-1] %}", 'secret', 'abc'),
    ("(messages[-1].content if true else 'b') == 'secret'", '', 'secret', 'abc'),
    ("'%s' % messages[-1].content == 'secret'", '', 'secret', 'abc'),
    ("'{}'.format(messages[-1].content) == 'secret'", '', 'secret', 'abc'),
    ("messages[-1].content ~ '' == 'secret'", '', 'secret', 'abc'),
    ("{'secret': true}.get(messages[-1].content)", '', 'secret', 'abc'),
    ("{'secret': true}[messages[-1].content]", '', 'secret', 'abc'),
    ("(messages|groupby('content')|list)[0][0] == 'secret'", '', 'secret', 'zzz'),
    ("messages|sum(attribute='content', start='') == 'secret'", '', 'secret', 'abc'),
    ("messages|rejectattr('content','in',['secret'])|list|length == 0", '', 'secret', 'abc'),
    ("(messages[-1]|dictsort)[0][1] == 'secret'", '', 'secret', 'abc'),
    ('loop_found.x', "{% set loop_found = namespace(x=false) %}{% for m in messages if m.content == 'secret' %}{% set loop_found.x = true %}{% endfor %}", 'secret', 'abc'),
    ('messages[-1].content|wordcount > 1', '', 'a b', 'abc'),
    ('messages[-1].content.isdigit()', '', '12', 'abc'),
    ("messages[-1].content.endswith('?')", '', 'what?', 'abc'),
    ("messages[-1].content.find('z') >= 0", '', 'az', 'abc'),
    ("messages[-1].content in 'a secret list'", '', 'secret', 'abc'),
    ('messages[-1].content in messages[0].content', '', 'q', 'abc'),
    ('messages[-1].content in known', "{% set known = ['secret'] %}", 'secret', 'abc'),
    ('messages[-1].content == secret', "{% set secret = 'se' ~ 'cret' %}", 'secret', 'abc'),
    ("messages[-1].content.split('=')[0] == 'k' ", '', 'k=1', 'abc'),
    ("messages[-1].content.partition('=')[1]", '', 'k=1', 'abc'),
    ("messages[-1].content.removeprefix('se') == 'cret'", '', 'secret', 'abc'),
    ('messages[-1].content.encode()|length > 3', '', 'secret', 'abc'),
    ("messages[-1].content is match('s')", '', 'secret', 'abc'),
    ("messages[-1].content|attr('isdigit')()", '', '12', 'abc'),
    ("messages[-1].content * 2 == 'abab'", '', 'ab', 'xyz'),
    ('messages[-1].content|length is divisibleby 2', '', 'ab', 'xyz'),
    ("messages[-1].content|title == 'Secret'", '', 'secret', 'abc'),
    ("messages[-1].content|indent == 'a\n    b'", '', 'a\nb', 'abc'),
    ('messages[-1].content|tojson == \'"secret"\'', '', 'secret', 'abc'),
    ("' ' in messages[-1].content", '', 'a b', 'ab'),
    ("'' ~ messages[-1].content.strip().split('\n')[-1] == 'x'", '', 'a\nx', 'ab'),
    ("messages[-1].content.rstrip().endswith(' x')", '', 'a x', 'ab'),
]
# fmt: on


@pytest.mark.parametrize(("condition", "setup", "holds", "holds_not"), CONDITIONS)
def test_a_condition_on_a_content_never_gives_a_wrong_prompt(
    byte_level: Any, tmp_path: Path, condition: str, setup: str, holds: str, holds_not: str
) -> None:
    source = TURNS + setup + PROMPT.replace("CONDITION", condition)
    folder = tiny_tokenizers.write_folder(tmp_path, byte_level, source, eos_token="<|im_end|>")
    files = load_tokenizer(str(folder))
    encoder = RecordEncoder(EncodeSettings(files=files, date=DATE, backend="tokenizers"))
    oracle = Oracle(folder, ["<|im_end|>"])
    for text in (holds_not, holds):
        turns = [("user", text), ("assistant", "yes, it is")]
        record = Record(messages=tuple(Message(role=role, content=content) for role, content in turns))
        conversation = {"messages": [{"role": role, "content": content} for role, content in turns]}
        assert oracle.judge(conversation, encoder.encode([record])[0]) == []


def test_a_long_chain_of_names_may_do_anything() -> None:
    chain = "".join(f"{{% set a{number} = a{number + 1} %}}" for number in range(200))
    sources = (chain + "{% set a200 = messages %}", "{% set a = messages %}")
    use = [find_content_use([source], make_environment(Date.min)).opaque for source in sources]
    assert use == [False, True]
