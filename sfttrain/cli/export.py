"""`sfttrain export`: the model of a run as a folder for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sftdata.errors import SftDataError
from sfttrain.cli.run import fail, quiet_libraries
from sfttrain.hardware import check_alone
from sfttrain.say import say

HELP = """Write the model of a run to a folder that others serve: weights, tokenizer, template, stop tokens, model card.

The stop tokens are those that ended the trained answers. --merge makes one model of an adapter and its base.
"""
EXAMPLES = """
sfttrain export run --out model --merge
sfttrain export run --out model --gguf q8_0 --ollama
"""


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of a finished run")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="the folder to write")],
    merge: Annotated[bool, typer.Option("--merge", help="merge an adapter into its base")] = False,
    gguf: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="write a GGUF file too: q8_0, f16, bf16 or f32; merges an adapter"),
    ] = None,
    ollama: Annotated[
        bool, typer.Option("--ollama", help="write a Modelfile for Ollama, and its GGUF file (q8_0 without --gguf)")
    ] = False,
    shards: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="where the dataset of the run is now, if it was moved")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="NAME", help="where the model that was trained is now, if it was moved")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier export")] = False,
) -> None:
    """Export, and print what was written."""
    from sfttrain.export.write import export as write

    try:
        quiet_libraries()
        check_alone("export")
        done = write(
            run, out, merge=merge, gguf=gguf, ollama=ollama, shards=shards, base=base, overwrite=overwrite, on_step=say
        )
    except SftDataError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail("stopped; nothing was written", 130)
    for note in done.notes:
        say(f"note   {note}")
    ends = ", ".join(f"{text} ({id_})" for id_, text in done.ends) or "those of the base"
    print(f"exported to {done.out}; stop tokens: {ends}", flush=True)
