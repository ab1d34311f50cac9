"""What the files alone say, before weights are loaded: tokenizer, template, special ids, context, labels.

Each function is one check and returns its finding; a model that cannot be read is a ModelError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftdata.errors import ModelError, pluralize
from sftdata.files.copies import ensure
from sfttrain.check.findings import Finding, Status, of_error
from sfttrain.config import TrainConfig
from sfttrain.data import TRAIN, Shards
from sfttrain.model import (
    TOKENIZER_JSON,
    check_vocabulary,
    compare_vocabularies,
    model_file,
    model_tokenizer,
    read_model_config,
)
from sfttrain.ways.rate import TRY_OTHERS, pick_rate

TEMPLATE = "chat_template.jinja"
# What decides how a text is split, beside the tokens and their ids.
SPLITTING = ("normalizer", "pre_tokenizer")
# The names of a model's longest context, in the configs of transformers.
CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx")
FEW_TRAINED, MOST_TRAINED = 0.01, 0.99  # of the tokens; less or more is a warning


def check_files(config: TrainConfig, shards: Shards) -> list[Finding]:
    """All checks of files, in the order in which they are printed. Raises ModelError where there is no such model."""
    model = read_model_config(config)
    return [
        check_tokenizer(config, shards),
        check_template(config, shards),
        check_ids(config, shards, model),
        check_context(config, shards, model),
        check_labels(shards),
        check_trained_share(shards),
        check_rate(config, model),
    ]


def check_tokenizer(config: TrainConfig, shards: Shards) -> Finding:
    """The model's tokenizer against the dataset's: by their hashes, else by their tokens, ids and rules."""
    name, sha = "tokenizer", shards.manifest.tokenizer.sha256
    theirs = model_tokenizer(config)
    if theirs is None:
        return Finding(
            name,
            "warn",
            f"the model has no tokenizer to compare with the dataset's ({short(sha)})",
            "make sure that the model was trained with the tokenizer of the dataset",
            {"dataset_sha256": sha, "model_sha256": None},
        )
    path = model_file(config, TOKENIZER_JSON)
    other = None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
    figures = {"dataset_sha256": sha, "model_sha256": other}
    if other == sha:
        return Finding(name, "pass", f"same tokenizer as the dataset ({short(sha)})", figures=figures)
    try:
        same = compare_vocabularies(config, shards, theirs)
    except ModelError as error:
        return replace(of_error(name, error), figures=figures)
    differing = [] if path is None else _other_rules(path, shards.tokenizer / TOKENIZER_JSON)
    hashes = f"{short(sha)} and {short(other)}" if other else short(sha)
    if differing:
        return Finding(
            name,
            "warn",
            f"{same}, but another {' and '.join(differing)} ({hashes}): texts may be split in another way",
            "prepare the dataset with the model's tokenizer",
            figures,
        )
    return Finding(name, "pass", f"{same}; the files differ in form alone ({hashes})", figures=figures)


def check_template(config: TrainConfig, shards: Shards) -> Finding:
    """The model's chat template against the one that the dataset was written with."""
    name, entry = "template", shards.manifest.template
    ours = shards.tokenizer / TEMPLATE
    if entry is None or not ours.is_file():
        return Finding(name, "pass", "the dataset has no chat template: its rows are plain texts or token ids")
    theirs = list(model_templates(config))
    figures = {"dataset_sha256": entry.sha256, "model_sha256": [sha_of(one) for one in theirs]}
    if not theirs:
        what = f"the model has none; the trained model is saved with the dataset's ({short(entry.sha256)})"
        return Finding(name, "pass", what, figures=figures)
    text = ours.read_text(encoding="utf-8")
    if any(one.strip() == text.strip() for one in theirs):
        return Finding(name, "pass", f"the model's is the dataset's ({short(entry.sha256)})", figures=figures)
    return Finding(
        name,
        "warn",
        f"the dataset was written with another chat template ({short(entry.sha256)}) than the model's "
        f"({', '.join(short(sha_of(one)) for one in theirs)}): what the model has learned of its own chats is lost",
        "prepare the dataset with the model's template, unless you mean to teach it another; the trained model is "
        "saved with the dataset's",
        figures,
    )


def model_templates(config: TrainConfig) -> Iterator[str]:
    """The chat templates of a model's tokenizer, the default one first."""
    path = model_file(config, TEMPLATE)
    if path is not None:
        try:
            yield path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ModelError(str(path), f"cannot be read ({error.strerror})", "check the file") from error
        return
    path = model_file(config, "tokenizer_config.json")
    given = None if path is None else _json(path).get("chat_template")
    if isinstance(given, str):
        yield given
    elif isinstance(given, list):  # of {name, template}
        yield from (one["template"] for one in given if isinstance(one, dict) and isinstance(one.get("template"), str))


def check_ids(config: TrainConfig, shards: Shards, model: Any) -> Finding:
    """The vocabulary against the model's embedding, and the special ids against both."""
    name, entry = "ids", shards.manifest.tokenizer
    try:
        size = check_vocabulary(config, shards, model)
    except ModelError as error:
        return of_error(name, error)
    text = model.get_text_config()
    theirs = {kind: _ids(getattr(text, f"{kind}_token_id", None)) for kind in ("bos", "eos", "pad")}
    outside = sorted(f"{kind} {one}" for kind, ids in theirs.items() for one in ids if not 0 <= one < size)
    figures = {"embedding": size, "dataset_ids": entry.vocab_size, "end_of_turn": list(entry.end_of_turn_ids), **theirs}
    if outside:
        what = f"config.json of the model names ids outside its {size:,} embeddings: {', '.join(outside)}"
        return Finding(name, "warn", what, "put the model's config.json right: generating would fail", figures)
    if entry.bos_id is not None and theirs["bos"] and entry.bos_id not in theirs["bos"]:
        what = f"texts begin with id {entry.bos_id} in the dataset, and with {theirs['bos'][0]} in the model's config"
        return Finding(name, "warn", what, "check that the dataset's tokenizer is the model's", figures)
    if entry.pad_id is not None and entry.pad_id in entry.end_of_turn_ids:
        note = "; padding and the end of an answer have the same id, which is trained as the end"
    else:
        note = ""
    ends = ", ".join(map(str, entry.end_of_turn_ids)) or "none"
    what = f"{entry.vocab_size:,} ids fit into {size:,} embeddings; answers end in {ends}{note}"
    if not set(entry.end_of_turn_ids) <= set(theirs["eos"]):
        what += "; generation_config.json of the trained model stops there"
    return Finding(name, "pass", what, figures=figures)


def check_context(config: TrainConfig, shards: Shards, model: Any, split: str | None = None) -> Finding:
    """The longest sample, of a split or of all, against the longest context of the model. Positions begin anew with
    each sample.
    """
    name, text = "context", model.get_text_config()
    limit, most = context_of(text), shards.manifest.seq_len
    if shards.is_fetched and limit is not None and most <= limit:  # no shard is fetched to say more
        what = f"no sample has more tokens than a sequence, {most:,}, and the model sees {limit:,}"
        return Finding(name, "pass", what, figures={"seq_len": most, "context": limit})
    longest = longest_sample(shards, split)
    figures = {"longest_sample": longest, "context": limit}
    if limit is None:
        what = f"config.json of the model names no longest context; the longest sample has {longest:,} tokens"
        return Finding(name, "pass", what, figures=figures)
    if longest > limit:
        return Finding(
            name,
            "fail",
            f"the longest sample has {longest:,} tokens, more than the {limit:,} of the model's context",
            f"prepare the dataset with pack.seq_len={limit}, or train a model with a longer context",
            figures,
            config.model,
        )
    what = f"the longest sample has {longest:,} tokens, the model sees {limit:,}"
    return Finding(name, "pass", what, figures=figures)


def context_of(model: Any) -> int | None:
    """The most tokens that a model can see, by its config; None where that does not say."""
    limit = next((size for key in CONTEXT if isinstance(size := getattr(model, key, None), int) and size > 0), None)
    rope = getattr(model, "rope_parameters", None) or getattr(model, "rope_scaling", None)
    if limit is None or not isinstance(rope, dict):
        return limit
    factor, trained = rope.get("factor"), rope.get("original_max_position_embeddings")
    if isinstance(factor, (int, float)) and isinstance(trained, int) and factor > 1:
        return max(limit, int(factor * trained))  # YaRN: many configs name the length before it was stretched
    return limit


def longest_sample(shards: Shards, split: str | None = None) -> int:
    """The tokens of the longest sample, of a split or of all."""
    import pyarrow as pa
    import pyarrow.compute as pc

    longest = 0
    for shard in shards.manifest.shards:
        if shard.rows and split in (None, shard.split):
            ensure(shards.path / shard.path)
            with pa.memory_map(str(shards.path / shard.path)) as source, pa.ipc.open_stream(source) as stream:
                for batch in stream:
                    most = pc.max(pc.list_flatten(batch.column("seq_lengths"))).as_py()
                    longest = max(longest, most or 0)
    return longest


def check_labels(shards: Shards) -> Finding:
    """Each label is the id at its place, or -100, and each id is in the vocabulary.

    Raises DatasetError where not. Opening the shards has checked it of files that have not changed since. Of a dataset
    on a store, it is checked when its rows are read.
    """
    from sftdata.store.checked import check_shard

    if shards.is_fetched:
        what = "each shard is compared with its checksum, and its labels with the vocabulary, before it is trained"
        return Finding("labels", "pass", what)
    for shard in shards.manifest.shards:
        check_shard(shards.path, shard, shards.manifest)
    tokens = sum(shard.tokens for shard in shards.manifest.shards)
    what = f"all {pluralize(tokens, 'label')} are the id at their place or -100, all ids below "
    return Finding("labels", "pass", f"{what}{shards.manifest.tokenizer.vocab_size:,}", figures={"labels": tokens})


def check_trained_share(shards: Shards) -> Finding:
    """How many of the tokens are trained."""
    stats = shards.manifest.splits[TRAIN]
    share = stats.trained_tokens / stats.tokens
    what = f"{stats.trained_tokens:,} of {pluralize(stats.tokens, 'token')} ({100 * share:.1f}%)"
    figures = {"trained_tokens": stats.trained_tokens, "tokens": stats.tokens, "share": share}
    if share < FEW_TRAINED:
        todo = "look at the masks with `sftdata inspect`: each step learns from very few tokens"
        return Finding("trained", "warn", what, todo, figures)
    if share > MOST_TRAINED:
        todo = "prompts are trained too: right for plain texts; for chats, look at the masks with `sftdata inspect`"
        return Finding("trained", "warn", what, todo, figures)
    return Finding("trained", "pass", what, figures=figures)


def check_rate(config: TrainConfig, model: Any) -> Finding:
    """The learning rate, and the rule that it follows."""
    rate = pick_rate(config, model)
    figures = {"learning_rate": rate.value, "calibrated": not rate.not_calibrated_for}
    status: Status = "warn" if rate.not_calibrated_for else "pass"
    return Finding("rate", status, rate.in_words, TRY_OTHERS if status == "warn" else "", figures)


def short(sha: str) -> str:
    """The first digits of a hash."""
    return f"sha256 {sha[:12]}"


def sha_of(text: str) -> str:
    """The hash of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _ids(given: object) -> list[int]:
    """One id or several, as a list."""
    given = given if isinstance(given, list) else [given]
    return [one for one in given if isinstance(one, int)]


def _json(path: Path) -> Mapping[str, Any]:
    """A JSON object from a file of the model; empty where it is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _other_rules(theirs: Path, ours: Path) -> list[str]:
    """The parts of two tokenizer.json that split texts and differ."""
    one, other = _json(theirs), _json(ours)
    differing = [name for name in SPLITTING if one.get(name) != other.get(name)]
    return differing + (["merges"] if _merges(one) != _merges(other) else [])


def _merges(tokenizer: Mapping[str, Any]) -> list[str]:
    """The merges, which older files write as one text each."""
    model = tokenizer.get("model")
    merges = model.get("merges") if isinstance(model, dict) else None
    return [one if isinstance(one, str) else " ".join(one) for one in merges or ()]
