"""`transformers serve MODEL` on a port of this machine, which writes the ids that it feeds the model to a file."""

from __future__ import annotations

import json
import sys
from typing import Any

from transformers import GenerationMixin
from transformers.cli.serve import Serve


def main(model: str, port: str, record: str) -> None:
    """Serve until the process is ended."""
    generate = GenerationMixin.generate

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        ids = kwargs.get("input_ids", kwargs.get("inputs", args[0] if args else None))
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps(ids[0].tolist()) + "\n")
        return generate(self, *args, **kwargs)

    GenerationMixin.generate = recorded
    Serve(force_model=model, host="127.0.0.1", port=int(port), device="cpu")


if __name__ == "__main__":
    main(*sys.argv[1:])
