"""The tokens at which an inference server stops: EOS, those of generation_config.json, and those that are declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson

from sftdata.encode.tokenizer.load import TokenizerFiles
from sftdata.errors import TokenizerError


def stop_tokens(files: TokenizerFiles) -> tuple[str, ...]:
    """The texts of these tokens, EOS first. Tokens that are no added tokens are left out: no template can write them.

    Raises TokenizerError if generation_config.json has something else than ids as its `eos_token_id`.
    """
    ids = _generation_ids(files)
    eos = files.special_tokens.get("eos_token")
    generation = [token.content for token in files.added_tokens() if token.id in ids] if ids else []
    return tuple(dict.fromkeys([*([] if eos is None else [eos]), *generation, *files.declared_stops]))


def with_stops(files: TokenizerFiles, declared: Sequence[str]) -> TokenizerFiles:
    """The same files with these tokens declared as stops. Raises TokenizerError if the tokenizer does not have one."""
    known = {token.content for token in files.added_tokens()}
    missing = [text for text in declared if text not in known]
    if missing:
        hint = "name tokens as they are in tokenizer.json, under added_tokens"
        raise TokenizerError("stop_tokens", f"the tokenizer has no added token {missing[0]!r}", hint)
    return replace(files, declared_stops=tuple(declared))


def _generation_ids(files: TokenizerFiles) -> frozenset[int]:
    """The ids of `eos_token_id` in generation_config.json: one, several or none."""
    data = files.other_files.get("generation_config.json")
    if data is None:
        return frozenset()
    try:
        config = orjson.loads(data)
    except ValueError as error:
        raise TokenizerError(
            files.source, f"cannot read generation_config.json ({error})", "download it again"
        ) from error
    value = config.get("eos_token_id") if isinstance(config, dict) else None
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(id_) is int for id_ in ids):
        what = "eos_token_id in its generation_config.json is neither a whole number nor a list of such"
        raise TokenizerError(files.source, what, "correct it: these are the tokens at which a server stops")
    return frozenset(ids)
