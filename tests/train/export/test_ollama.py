"""Modelfiles: a template of Ollama only where it is proven equal to the chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import pytest

import sfttrain
from sftdata.errors import ModelError
from sfttrain.export.ollama import Render, find_family, modelfile
from sfttrain.export.write import export

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' "
    "+ m['content'] | trim + '<|eot_id|>' }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
)
DEFAULT = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}"


def rendering(source: str) -> Render:
    template = jinja2.Environment(keep_trailing_newline=True).from_string(source)

    def render(messages: Sequence[Mapping[str, str]]) -> str:
        return template.render(messages=messages)

    return render


def test_chatml_is_written_in_the_syntax_of_go(finished: sfttrain.Result, tmp_path: Path):
    pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
    export(finished.out, tmp_path / "model", ollama=True)
    assert (tmp_path / "model" / "Modelfile").read_text() == (
        "FROM ./model-q8_0.gguf\n"
        'TEMPLATE """{{ range .Messages }}<|im_start|>{{ .Role }}\n'
        "{{ .Content }}<|im_end|>\n"
        "{{ end }}<|im_start|>assistant\n"
        '"""\n'
        'PARAMETER stop "<|im_end|>"\n'
    )


def test_llama_3_begins_once_and_its_trimming_is_said():
    found = find_family(rendering(LLAMA3))
    assert found.family.name == "Llama 3" and not found.keeps_space
    assert found.family.template.startswith("<|begin_of_text|>{{ range .Messages }}<|start_header_id|>{{ .Role }}")


def test_a_system_prompt_that_the_template_adds_is_that_of_the_modelfile():
    found = find_family(rendering(DEFAULT + CHATML))
    assert found.system == "Be brief."
    assert 'SYSTEM """Be brief."""\n' in modelfile(found, "model.gguf", ["<|im_end|>"])


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] ",  # no known family
        CHATML.replace("m['content']", "m['content'] | upper"),
        CHATML + "<think>\n",  # an answer begins with something else
        "{{ messages | length }}" + CHATML,
        LLAMA3.replace("<|begin_of_text|>", "<|begin_of_text|>{% if messages | length > 3 %}x{% endif %}"),
        "{% if messages[0]['role'] == 'system' %}{{ raise('no system') }}{% endif %}" + CHATML,
    ],
)
def test_another_prompt_is_refused(source: str):
    with pytest.raises(ModelError, match=r"^--ollama: the chat template"):
        find_family(rendering(source))


def test_a_text_that_would_end_its_quotes_is_refused():
    found = find_family(rendering((DEFAULT + CHATML).replace("Be brief.", 'Say "yes".')))
    with pytest.raises(ModelError, match="cannot be written in a Modelfile"):
        modelfile(found, "model.gguf", ["<|im_end|>"])
