"""`sftdata.check`: data in, what is wrong with it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftdata.audit import UNUSED_SETTINGS, Audit, audit
from sftdata.config import EvaluationConfig
from sftdata.library.arguments import config_of
from sftdata.library.shown_progress import ShownProgress, shown_progress
from sftdata.settings.groups import check_settings


def check(data: Any = None, *, against: Any = (), progress: ShownProgress = "auto", **settings: Any) -> Audit:
    """Find what is wrong with data before anything is made of it. Nothing is written.

        found = sftdata.check("chats.jsonl")
        found["duplicate"].rows
        ds = sftdata.prepare("chats.jsonl", tokenizer="ORG/NAME", out="shards", **found.recommended)

    `data`, `settings` and `progress` are as for `sftdata.prepare`; `tokenizer` and `out` are not needed. `against` is
    an evaluation file, the settings of one as a dict, or a list of these. The result shows itself as tables; its
    findings are attributes, `to_dict` gives them as JSON types, and `recommended` has the settings that handle them.

    Raises SftDataError (ConfigError, SourceError, ...) for what a user can put right.
    """
    config = config_of(data, settings, "check", options=("against", "progress"), defaults=UNUSED_SETTINGS)
    files = list(against) if isinstance(against, (list, tuple)) else [against]
    evaluations = [
        check_settings(EvaluationConfig, one, "against") if isinstance(one, Mapping) else one for one in files
    ]
    with shown_progress(progress) as shown:
        return audit(config, against=evaluations, progress=shown)
