"""A Modelfile for Ollama, whose template in Go's syntax is proven equal to the chat template, or refused.

Ollama would take the template that it finds most alike among its own, which is another prompt than the one that was
trained. Here each known family is rendered beside the chat template on conversations of every shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftdata.errors import ModelError

MODELFILE = "Modelfile"
SERVE = "serve the GGUF file with llama.cpp, which reads the chat template itself"
Messages = Sequence[Mapping[str, str]]
Render = Callable[[Messages], str]
_ROLE = "{role}"


@dataclass(frozen=True, slots=True)
class Family:
    """Templates that write each message alike: a head with the role, the text, an end."""

    name: str
    begin: str
    head: str
    end: str

    def render(self, messages: Messages) -> str:
        """What Ollama makes of `template`, with the head of an answer at the end."""
        parts = [f"{self.head.replace(_ROLE, one['role'])}{one['content']}{self.end}" for one in messages]
        return f"{self.begin}{''.join(parts)}{self._answer}"

    @property
    def template(self) -> str:
        """The same in Go's syntax."""
        head = self.head.replace(_ROLE, "{{ .Role }}")
        return f"{self.begin}{{{{ range .Messages }}}}{head}{{{{ .Content }}}}{self.end}{{{{ end }}}}{self._answer}"

    @property
    def _answer(self) -> str:
        return self.head.replace(_ROLE, "assistant")


FAMILIES = (
    Family("ChatML", "", "<|im_start|>{role}\n", "<|im_end|>\n"),
    Family("ChatML", "<|startoftext|>", "<|im_start|>{role}\n", "<|im_end|>\n"),
    Family("ChatML", "<s>", "<|im_start|>{role}\n", "<|im_end|>\n"),
    Family("Llama 3", "<|begin_of_text|>", "<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>"),
)
_TEXTS = ("Hello", 'two\nlines, "quotes" and {{ .Role }}', "fünf 五 <b>&amp;</b> \\n", "{% if x %}", "a", "b")


@dataclass(frozen=True, slots=True)
class Found:
    """The family of a chat template, and the system prompt that it adds where a conversation has no other."""

    family: Family
    system: str | None
    keeps_space: bool  # white space around a text


def write_modelfile(
    folder: Path, gguf: str, ends: Sequence[str], tokenizer: Any, arguments: Mapping[str, Any]
) -> tuple[str, ...]:
    """Write the Modelfile beside a GGUF file, for prompts that the chat template writes with these arguments; what
    should be said of it. Raises ModelError.
    """

    def render(messages: Messages) -> str:
        given = [dict(one) for one in messages]
        return str(tokenizer.apply_chat_template(given, add_generation_prompt=True, tokenize=False, **arguments))

    if tokenizer.chat_template is None:
        raise ModelError("--ollama", "the model has no chat template", SERVE)
    found = find_family(render)
    (folder / MODELFILE).write_text(modelfile(found, gguf, ends), encoding="utf-8")
    if found.keeps_space:
        return ()
    return ("the chat template strips white space around messages, which Ollama does not: send texts without it",)


def find_family(render: Render) -> Found:
    """The family whose rendering is that of the chat template, on every probe. Raises ModelError without one."""
    from jinja2 import TemplateError

    try:
        for family in FAMILIES:
            system = _default_system(render, family)
            if all(render(one) == family.render(_with(system, one)) for one in _probes(_TEXTS)):
                spaced = [f" {text}\n" for text in _TEXTS]
                keeps = all(render(one) == family.render(_with(system, one)) for one in _probes(spaced))
                return Found(family, system, keeps)
    except TemplateError as error:
        what = f"the chat template refuses a conversation with a system prompt and several turns ({error})"
        raise ModelError("--ollama", what, SERVE) from error
    names = " or ".join(dict.fromkeys(family.name for family in FAMILIES))
    what = f"the chat template writes other prompts than {names}, so no template of Ollama is proven equal"
    raise ModelError("--ollama", what, SERVE)


def modelfile(found: Found, gguf: str, ends: Sequence[str]) -> str:
    """The text of a Modelfile. Raises ModelError where a text cannot be written in one."""
    quotes = '"""'
    for text in (found.system or "", *ends):
        if '"' in text or (text in ends and not text.isprintable()):
            raise ModelError("--ollama", f"{text!r} cannot be written in a Modelfile", SERVE)
    lines = [f"FROM ./{gguf}", f"TEMPLATE {quotes}{found.family.template}{quotes}"]
    lines += [f"SYSTEM {quotes}{found.system}{quotes}"] if found.system is not None else []
    lines += [f'PARAMETER stop "{text}"' for text in ends]
    return "\n".join(lines) + "\n"


def _default_system(render: Render, family: Family) -> str | None:
    """The system prompt that a template adds where a conversation has none."""
    text = render([{"role": "user", "content": "Hello"}])
    start = f"{family.begin}{family.head.replace(_ROLE, 'system')}"
    rest = family.render([{"role": "user", "content": "Hello"}]).removeprefix(family.begin)
    if text.startswith(start) and text.endswith(f"{family.end}{rest}"):
        return text[len(start) : -len(family.end + rest)]
    return None


def _with(system: str | None, messages: Messages) -> Messages:
    """Messages as Ollama sends them: with SYSTEM before those that have no system prompt."""
    if system is None or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


def _probes(texts: Sequence[str]) -> Iterator[Messages]:
    """Conversations with and without a system prompt, of one to three turns."""
    roles = ("user", "assistant") * 3
    for start in ((), ("system",)):
        for number in (1, 3, 5):
            for shift in range(len(texts)):
                shifted = [*texts[shift:], *texts[:shift]]
                yield [{"role": role, "content": text} for role, text in zip((*start, *roles[:number]), shifted)]
