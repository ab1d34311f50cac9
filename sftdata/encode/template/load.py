"""Load a chat template: the tokenizer's own, a built-in one by name, or a file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import date as Date
from functools import cache
from importlib import resources
from pathlib import Path

from sftdata.encode.template.jinja import ChatTemplate
from sftdata.errors import TemplateError

NO_TEMPLATE = "none"  # the name of a template that writes nothing


@cache
def templates_folder() -> Path:
    """The folder of the built-in templates: inside the installed package, or beside it in a checkout."""
    installed = Path(str(resources.files("sftdata"))) / "templates"
    return installed if installed.is_dir() else installed.parent.parent / "templates"


def template_names() -> list[str]:
    """The names of the built-in templates, sorted."""
    return sorted(path.stem for path in templates_folder().glob("*.jinja"))


def template_source(name: str) -> str:
    """The source of a built-in template or of a file. Raises TemplateError if it cannot be read."""
    path = templates_folder() / f"{name}.jinja"
    if not path.is_file():
        path = Path(name)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        names = template_names()
        known, similar = ", ".join(names), similar_names(name, names)
        what = "is neither a built-in template nor a readable file"
        if similar:
            raise TemplateError(
                name, what, f"did you mean {_either(similar)}? `sftdata templates` lists them"
            ) from error
        hint = "give the path of a template file, auto or default for the tokenizer's own, or a built-in template"
        raise TemplateError(name, what, f"{hint}: {known}") from error


def similar_names(name: str, known: Sequence[str]) -> list[str]:
    """The names that begin like this one, or that differ from it in a few characters; at most three."""
    wanted = name.lower().replace("_", "-").removesuffix(".jinja")
    same = [one for one in known if wanted and one.startswith(wanted)]
    return (same or difflib.get_close_matches(wanted, known, n=3, cutoff=0.75))[:3]


def _either(names: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def is_template(name: str) -> bool:
    """Whether a name is a built-in template or a file, and so not a tokenizer."""
    return (templates_folder() / f"{name}.jinja").is_file() or Path(name).is_file()


def template_summary(name: str) -> str:
    """The first line of a template's header, which names the format."""
    header = template_source(name).partition("{#")[2].partition("#}")[0]
    lines = (line.strip(" -\t") for line in header.splitlines())
    return next((line for line in lines if line), "")


def load_template(name: str, *, own: Mapping[str, str], special_tokens: Mapping[str, str], today: Date) -> ChatTemplate:
    """The template called `name` in the config, bound to the tokenizer's special tokens.

    `own` are the tokenizer's templates by name: `auto` is the default one, with `tool_use` for chats with tools,
    and their names come before those of built-in templates. `none` is a template that writes nothing, for runs on plain
    text. Raises TemplateError if there is no such template, if it is not clear which one is meant, or if it is not
    valid Jinja.
    """
    if name == NO_TEMPLATE:
        return ChatTemplate("", name=name, special_tokens=special_tokens, today=today)
    if name in own:
        return ChatTemplate(own[name], name=name, special_tokens=special_tokens, today=today)
    if name != "auto":
        return ChatTemplate(template_source(name), name=name, special_tokens=special_tokens, today=today)
    if len(own) > 1 and not own.get("default"):
        names = ", ".join(sorted(own))
        what = f"the tokenizer has several chat templates and no default: {names}"
        raise TemplateError("template: auto", what, f"choose one by its name, as in template={min(own)}")
    source = own.get("default") or next(iter(own.values()), None)
    if source is None:
        known = ", ".join(template_names())
        hint = f"set template to the path of a template or to a built-in one ({known})"
        raise TemplateError("template: auto", "the tokenizer has no chat template", hint)
    return ChatTemplate(
        source, name="auto", special_tokens=special_tokens, today=today, tool_source=own.get("tool_use")
    )
