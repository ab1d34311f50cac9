"""From the settings to what encodes records. Imports little, so that loading a tokenizer can begin early."""

from __future__ import annotations

from sftdata.config import Config
from sftdata.encode.encoder import Backend
from sftdata.encode.records import EncodeSettings, RecordEncoder
from sftdata.encode.templates import NO_TEMPLATE
from sftdata.encode.tokenizers import load_tokenizer
from sftdata.light import can_fork

BACKENDS: dict[str, Backend | None] = {"auto": None, "fast": "fastokens", "hf": "tokenizers"}


def make_encoder(config: Config) -> RecordEncoder:
    """What encodes the records of a run.

    Raises TokenizerError where the tokenizer cannot be loaded, and TemplateError where its template cannot be used.
    """
    encoder = RecordEncoder(encode_settings(config))
    if not config.is_plain_text:
        encoder.check()
    return encoder


def begin_encoding(config: Config) -> RecordEncoder:
    """What encodes the records of a run, being loaded where the workers will be copies of this process.

    Raises what `make_encoder` raises.
    """
    encoder = make_encoder(config)
    if can_fork():
        encoder.begin_loading()
    return encoder


def encode_settings(config: Config) -> EncodeSettings:
    """What decides how records are encoded. Raises TokenizerError where the tokenizer cannot be loaded."""
    files = load_tokenizer(config.located_if_there(config.tokenizer), trust_remote_code=config.trust_remote_code)
    template = config.located_if_there(config.template)
    if config.is_plain_text and template == "auto" and not files.chat_templates:
        template = NO_TEMPLATE
    return EncodeSettings(
        files=files,
        template=template,
        date=config.date,
        train_on=config.train_on,
        overlong=config.overlong,
        seq_len=None if config.overlong == "drop" else config.pack.seq_len,
        strip_trailing_control=config.clean.strip_trailing_control,
        backend=BACKENDS[config.encoder],
    )
