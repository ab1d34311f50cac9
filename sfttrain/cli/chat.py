"""`sfttrain chat`: talk to a trained model on a terminal, or through a pipe."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sftdata.errors import ConfigError, SftDataError
from sftdata.safe.control_chars import INVISIBLE, visible_char
from sfttrain.cli.run import fail, quiet_libraries
from sfttrain.hardware import check_alone
from sfttrain.say import say

if TYPE_CHECKING:
    from sfttrain.chat.model import ChatModel

HELP = """Talk to a trained model: a run, an export, or a model on the hub.

The prompt is written by the model's chat template, and an answer ends where those of the training did. Each line is a
message; /system TEXT sets the system prompt, /reset begins anew, /quit ends. From a pipe, each line is a message too.
"""
EXAMPLES = """
sfttrain chat run
sfttrain chat model --temperature 0.7
"""
COMMANDS = "/system TEXT, /reset, /quit"
_HIDDEN = re.compile(f"(?!\n|\t)[{INVISIBLE}]")


def chat(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="the folder of a run or an export, or a hub id")],
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="the system prompt")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0: always the likeliest token")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="the most tokens of an answer")] = 512,
    seed: Annotated[int | None, typer.Option(help="for the same answers with a temperature")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="let a model run the code that comes with it")
    ] = False,
) -> None:
    """Read messages and print answers until the input ends."""
    try:
        quiet_libraries()
        check_alone("chat")
        from sfttrain.chat.model import ChatModel

        found = ChatModel(model, trust_remote_code=trust_remote_code)
        if seed is not None:
            import torch

            torch.manual_seed(seed)
        Talk(found, system, temperature, max_tokens).run()
    except SftDataError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail("stopped", 130)


class Talk:
    """A conversation: what was said so far, and how it goes on."""

    def __init__(self, model: ChatModel, system: str | None, temperature: float, max_tokens: int) -> None:
        self.model = model
        self.temperature, self.max_tokens = temperature, max_tokens
        self.system = system
        self.messages: list[dict[str, str]] = []

    def run(self) -> None:
        """Until the input ends, or /quit."""
        is_terminal = sys.stdin.isatty()
        if is_terminal:
            say(f"{COMMANDS}; Ctrl-C stops an answer")
        while (line := _read(is_terminal)) is not None:
            text = line.strip()
            if text in ("/quit", "/exit"):
                return
            if text.startswith("/"):
                self._command(text)
            elif text:
                self._ask(text)

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        if name == "/reset":
            self.messages = []
        elif name == "/system":
            self.system, self.messages = rest.strip() or None, []
        else:
            say(f"{name} is not a command; there are {COMMANDS}")

    def _ask(self, text: str) -> None:
        """Print the answer to a message. One that cannot be answered is taken back, and so is one that is stopped."""
        start = [] if self.system is None else [{"role": "system", "content": self.system}]
        messages = [*self.messages, {"role": "user", "content": text}]
        try:
            answer = self.model.answer(
                [*start, *messages], _write, temperature=self.temperature, max_tokens=self.max_tokens
            )
        except SftDataError as error:
            say(f"sfttrain: {error}")
            return
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            print(flush=True)
            return
        print(flush=True)
        self.messages = [*messages, {"role": "assistant", "content": answer}]


def _read(is_terminal: bool) -> str | None:
    """The next line; None at the end. Raises ConfigError for bytes that are no text."""
    try:
        return input("> ") if is_terminal else sys.stdin.readline() or None
    except EOFError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError("standard input", f"is not text in {error.encoding}", "give it in that encoding") from error


def _write(text: str) -> None:
    """Part of an answer. A model may write anything, so nothing of it controls the terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    shown = _HIDDEN.sub(lambda match: visible_char(match[0]), text)
    print(shown.encode(encoding, "replace").decode(encoding), end="", flush=True)
