"""The metadata of a dataset card: what the Hub shows of it, and what datasets reads to load its splits."""

from __future__ import annotations

import re
from typing import Any

from sftdata.safe.control_chars import terminal_safe
from sftdata.store.manifest import Manifest
from sftdata.view.layout import shortened

# Without an upper end where the next one begins: the sizes that the Hub knows, by their number of rows.
SIZES = (
    *((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")),
    *((10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B")),
    (10**12, "100B<n<1T"),
)
COLUMNS = {
    "input_ids": ("int32", "the tokens of a sequence, without padding"),
    "labels": ("int32", "the same ids where a token is trained, else -100; not shifted"),
    "seq_lengths": ("int32", "how many tokens each sample in the sequence has, in order"),
    "record_ids": ("string", "which row of the input each of these samples is from, as the ledger names it"),
}
_ON_THE_HUB = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)(?:[@/].*)?", re.ASCII)


def metadata(title: str, manifest: Manifest, license: str | None = None) -> str:
    """The YAML of a card, without the lines around it: see the Hub's specification of dataset cards."""
    import yaml

    splits = manifest.splits
    sizes = {name: sum(one.size_bytes for one in manifest.shards if one.split == name) for name in splits}
    rows = sum(stats.rows for stats in splits.values())
    from_hub = [match[1] for one in manifest.parts.sources if (match := _ON_THE_HUB.fullmatch(one.path))]
    fields: dict[str, Any] = {"pretty_name": shortened(terminal_safe(title), 100)}
    fields |= {"license": license} if license else {}
    fields |= {"task_categories": ["text-generation"]}
    fields |= {"size_categories": [next((name for limit, name in SIZES if rows < limit), "n>1T")]}
    fields |= {"source_datasets": list(dict.fromkeys(from_hub))} if from_hub else {}
    kind = ["sft", "chat"] if manifest.template is not None else ["text"]
    fields |= {"tags": [*kind, "tokenized", "packed", "sftdata"]}
    if splits:
        files = [{"split": name, "path": f"{name}/*.arrow"} for name in splits]
        fields |= {"configs": [{"config_name": "default", "data_files": files}]}
        fields["dataset_info"] = {
            "features": [{"name": name, "list": kind} for name, (kind, _) in COLUMNS.items()],
            "splits": [
                {"name": name, "num_bytes": sizes[name], "num_examples": stats.rows} for name, stats in splits.items()
            ],
            "download_size": sum(sizes.values()),
            "dataset_size": sum(sizes.values()),
        }
    text: str = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text
