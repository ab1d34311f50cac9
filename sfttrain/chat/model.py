"""A trained model to talk to: fed by its own chat template, stopped where its answers ended in training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sftdata.errors import ConfigError, ModelError, SftDataError, first_line
from sfttrain.export.folder import RECORD
from sfttrain.export.source import open_run

GIVE_A_MODEL = "give the folder of a run or of an export, or a hub id"


class ChatModel:
    """A model with its tokenizer and template."""

    def __init__(self, source: str, *, trust_remote_code: bool = False) -> None:
        """Load a folder of a run or an export, or a hub id. Raises ModelError."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if source.startswith(("/", ".", "~")) and not Path(source).is_dir():
            raise ModelError(source, "is not a folder", GIVE_A_MODEL)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
            self.model = AutoModelForCausalLM.from_pretrained(
                source, dtype="auto", trust_remote_code=trust_remote_code
            ).eval()
            self._use_stops_of(source)
            self.arguments = _arguments(Path(source), self.tokenizer)
        except Exception as error:  # of files that fit no model, transformers raises almost anything
            what = f"cannot be loaded ({first_line(error)[:200]})"
            raise ModelError(source, what, GIVE_A_MODEL) from error
        if self.tokenizer.chat_template is None:
            raise ModelError(source, "has no chat template", "give a model that was trained on chats")
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")

    def _use_stops_of(self, source: str) -> None:
        """Stop where the folder says: beside an adapter, transformers reads the base's settings alone."""
        from transformers import GenerationConfig

        if Path(source, "generation_config.json").is_file():
            self.model.generation_config = GenerationConfig.from_pretrained(source, trust_remote_code=False)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        found = self.model.generation_config.eos_token_id
        return tuple(found if isinstance(found, list) else [] if found is None else [found])

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids that the model continues. Raises ConfigError where the template refuses the messages."""
        from jinja2 import TemplateError

        try:
            found = self.tokenizer.apply_chat_template(
                [dict(one) for one in messages],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                **self.arguments,
            )
        except TemplateError as error:
            raise ConfigError("the chat template", f"refuses these messages ({first_line(error)[:200]})") from error
        return list(found["input_ids"])

    def answer(
        self,
        messages: Sequence[Mapping[str, str]],
        on_text: Callable[[str], None],
        *,
        temperature: float = 0.0,
        max_tokens: int = 512,
    ) -> str:
        """The answer to some messages, given to `on_text` as it is written. A temperature of 0 takes the likeliest
        token each time. Raises ConfigError where there is no room for an answer.
        """
        import torch

        ids = self.prompt(messages)
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        room = max_tokens if context is None else min(max_tokens, context - len(ids))
        if room < 1:
            what = f"fills the model's context of {context:,} tokens"
            raise ConfigError("the conversation", what, "begin anew with /reset")
        given = torch.tensor([ids], device=self.model.device)
        how = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        unused: dict[str, Any] = {} if temperature else {"temperature": None, "top_p": None, "top_k": None}
        with torch.no_grad():
            found = self.model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=room,
                streamer=_streamer(self.tokenizer, on_text),
                **how,
                **unused,
            )
        return str(self.tokenizer.decode(found[0, len(ids) :], skip_special_tokens=True))


def _arguments(folder: Path, tokenizer: Any) -> dict[str, Any]:
    """With what the template writes the prompt that was trained, as an export or the dataset of a run says."""
    from sfttrain.export.prompts import ARGUMENTS, trained_arguments

    if (folder / RECORD).is_file():
        return dict(json.loads((folder / RECORD).read_bytes()).get(ARGUMENTS) or {})
    try:
        source = open_run(folder, checks=False)
    except SftDataError:  # a model of another program
        return {}
    return dict(trained_arguments(None if source.shards is None else source.shards.manifest, tokenizer).values)


def _streamer(tokenizer: Any, on_text: Callable[[str], None]) -> Any:
    """A streamer of transformers that hands its text on."""
    from transformers import TextStreamer

    class Streamer(TextStreamer):  # type: ignore[misc, unused-ignore]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            on_text(text)

    return Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
