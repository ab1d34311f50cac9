"""Renders our templates with transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
NAMES = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
# What is raised if a template cannot write a conversation: its own error, or that of a missing value.
REFUSALS = (jinja2.TemplateError, TypeError, AttributeError)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def source(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


def render(
    template: str,
    messages: list[dict[str, Any]],
    prompt: bool = False,
    tools: list[dict[str, Any]] | None = None,
    **kwargs: Any,
) -> str:
    """The text that apply_chat_template would encode. `prompt` is add_generation_prompt. Raises one of REFUSALS."""
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered, _ = render_jinja_template(
        [messages], tools=tools, chat_template=template, add_generation_prompt=prompt, **{**TOKENS, **kwargs}
    )
    text: str = rendered[0]
    return text


def ours(name: str, messages: list[dict[str, Any]], prompt: bool = False, **kwargs: Any) -> str:
    return render(source(name), messages, prompt, **kwargs)
