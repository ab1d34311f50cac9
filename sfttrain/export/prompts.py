"""The arguments with which a chat template writes the prompt that answers were trained after.

A template may write another one by default: that of Qwen3 lets the model think, and answers without reasoning were
trained behind an empty thought.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sftdata.store.manifest import Manifest

ARGUMENTS = "chat_template_kwargs"  # in export.json
_QUESTION = [{"role": "user", "content": "Hello"}]
_WORDS = {"true": True, "false": False}


class Arguments(NamedTuple):
    """Arguments of a template, and whether they write a prompt that was trained."""

    values: Mapping[str, Any]
    are_trained: bool

    @property
    def note(self) -> str | None:
        """What whoever serves the model should know; None where the template's default is what was trained."""
        if not self.are_trained:
            return "the chat template writes another prompt than those that answers were trained after"
        if not self.values:
            return None
        shown = json.dumps(dict(self.values))
        return f"answers were trained after another prompt than the template's default: serve it with {shown}"


def trained_arguments(manifest: Manifest | None, tokenizer: Any) -> Arguments:
    """The first arguments that write a trained prompt: none, or those that the dataset was prepared with."""
    prompts = manifest.tokenizer.generation_prompts if manifest is not None else ()
    if manifest is None or not prompts or tokenizer.chat_template is None:
        return Arguments({}, True)
    for values in ({}, *_candidates(manifest)):
        written = tokenizer.apply_chat_template(_QUESTION, add_generation_prompt=True, return_dict=True, **values)
        ids = list(written["input_ids"])
        if any(ids[-len(prompt) :] == list(prompt) for prompt in prompts):
            return Arguments(values, True)
    return Arguments({}, False)


def _candidates(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """Arguments that rows were rendered with, the most frequent first: `off: enable_thinking=false` in the manifest."""
    found = manifest.encoding.thinking if manifest.encoding is not None else {}
    for key in sorted(found, key=lambda key: -found[key]):
        name, _, value = key.rpartition(": ")[2].partition("=")
        if name.isidentifier() and value and name not in ("add_generation_prompt", "return_dict", "tools", "tokenize"):
            yield {name: _WORDS.get(value, value)}
