"""The dataset card: metadata that the Hub and datasets read, and Markdown in which every text of data is text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import call
from markdown_it import MarkdownIt
from raw_rows import chat, write_lines

import sftdata
from sftdata.errors import ConfigError, DatasetError, OutputError
from sftdata.store.verify import verify
from sftdata.view.report.markdown.card import dataset_card
from sftdata.view.report.markdown.hub import metadata
from sftdata.view.report.markdown.sample import masked_text
from sftdata.view.report.texts import Masked

Prepared = Callable[..., sftdata.Dataset]
# 60 conversations, one of them twice, and a row without an answer.
ROWS = [chat(f"Question {n}?", f"Answer {n}.") for n in range(60)] + [chat("Question 1?", "Answer 1.")]
ROWS += [{"messages": [{"role": "user", "content": "Thanks!"}]}]
NASTY = "</code></table><script>alert(1)</script> | a \\| b `c` ```\n---\n# head\n\u202e {x: [y]} *z* <!-- & --> $1$"


def metadata_of(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    loaded: dict[str, Any] = yaml.safe_load(head)
    return loaded


def block_of(card: str, kind: str) -> str:
    match = re.search(rf"^(`{{3,}}){kind}\n(.*?)^\1$", card, flags=re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[2]


def section_of(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_the_metadata_is_that_of_the_hub(prepared: Prepared) -> None:
    ds = prepared(ROWS, **{"split.validation": 10, "pack.seq_len": 128})
    shards = {one.split: one for one in ds.manifest.shards}
    expected = {
        "pretty_name": "chats.jsonl",
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "tags": ["sft", "chat", "tokenized", "packed", "sftdata"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train/*.arrow"},
                    {"split": "validation", "path": "validation/*.arrow"},
                ],
            }
        ],
        "dataset_info": {
            "features": [
                {"name": "input_ids", "list": "int32"},
                {"name": "labels", "list": "int32"},
                {"name": "seq_lengths", "list": "int32"},
                {"name": "record_ids", "list": "string"},
            ],
            "splits": [
                {
                    "name": name,
                    "num_bytes": (ds.path / shards[name].path).stat().st_size,
                    "num_examples": shards[name].rows,
                }
                for name in ("train", "validation")
            ],
            "download_size": sum(path.stat().st_size for path in ds.path.glob("*/*.arrow")),
            "dataset_size": sum(path.stat().st_size for path in ds.path.glob("*/*.arrow")),
        },
    }
    assert metadata_of(dataset_card(ds)) == expected
    assert metadata_of(dataset_card(ds, "mit")) == {**expected, "license": "mit"}


@pytest.mark.parametrize(
    ("rows", "size"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (2_000_000, "1M<n<10M"), (10**12, "n>1T")],
)
def test_sizes_are_those_of_the_hub(small_dataset: Path, rows: int, size: str) -> None:
    manifest = sftdata.Manifest.load(small_dataset)
    shard = manifest.shards[0].model_copy(update={"rows": rows})
    of_size = manifest.model_copy(update={"shards": (shard,)})
    assert yaml.safe_load(metadata("chats", of_size))["size_categories"] == [size]


def test_sources_on_the_hub_are_named_as_the_hub_does(small_dataset: Path) -> None:
    paths = [
        "hf://datasets/org/chats/data/*.parquet",
        "hf://datasets/org/chats@main",
        "hf://datasets/a.b/c-d",
        "x.jsonl",
    ]
    paths += ["org/maybe-a-folder", "https://hf.co/datasets/org/other"]
    config = {"sources": [{"path": path} for path in paths]}
    manifest = sftdata.Manifest.load(small_dataset).model_copy(update={"config": config})
    assert yaml.safe_load(metadata("chats", manifest))["source_datasets"] == ["org/chats", "a.b/c-d"]


def test_a_reader_of_the_hub_reads_the_card(prepared: Prepared) -> None:
    hub = pytest.importorskip("huggingface_hub")
    path = prepared(ROWS).report(markdown=True, license="Apache-2.0")
    card = hub.DatasetCard.load(path)
    assert card.data.license == "apache-2.0"
    assert card.data.size_categories == ["n<1K"]
    assert card.data.to_dict()["configs"][0]["config_name"] == "default"
    assert card.text.lstrip().startswith("# chats.jsonl\n")
    assert "license" not in metadata_of(dataset_card(prepared(ROWS, "b"), ""))


def test_datasets_loads_the_folder_by_its_card(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    ds = prepared(ROWS, **{"split.validation": 10, "pack.seq_len": 128})
    ds.report(markdown=True)
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset("shards", "default", cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in loaded.items()} == {name: len(ds[name]) for name in ds.splits}
    assert list(loaded) == ["train", "validation"]
    assert loaded["train"].features == loaded["train"].info.features
    for at, row in enumerate(loaded["validation"]):
        assert row["input_ids"] == [id_ for sample in ds["validation"][at].samples for id_ in sample.input_ids]


def test_what_the_card_says(prepared: Prepared) -> None:
    card = dataset_card(prepared(ROWS, **{"pack.seq_len": 256}))
    assert "\n# chats.jsonl\n\n60 conversations packed into " in card
    assert section_of(card, "Where the rows went").splitlines()[1:7] == [
        "| step | reason | rows | share | first | what it means |",
        "| --- | --- | ---: | ---: | --- | --- |",
        "| rows read |  | 62 |  |  |  |",
        "| validate | `no_answer` | -1 | 1.6% | `chats.jsonl:62` | no assistant turn follows the user's |",
        "| dedup | `duplicate` | -1 | 1.6% | `chats.jsonl:61` | exact duplicate of an earlier row |",
        "| packed |  | 60 | 96.8% |  |  |",
    ]
    assert "- `chats.jsonl`\n" in section_of(card, "Sources")
    assert "60 conversations: " in section_of(card, "Lengths and trained share")
    assert "sfttrain run shards --model MODEL --out run\n" in section_of(card, "How to train on it")
    assert "| tokens that end an answer | `<\\|im_end\\|>` (2) |\n" in section_of(card, "Tokenizer and template")


def test_a_sample_is_shown_with_a_plus_at_what_is_trained(prepared: Prepared) -> None:
    ds = prepared([chat("What is 2+2?\n- 4?", "It is 4.\n\n```\n4\n```")])
    assert block_of(dataset_card(ds), "diff") == (
        "  <|im_start|>user\n"
        "  What is 2+2?\n"
        "  - 4?<|im_end|>\n"
        "  <|im_start|>assistant\n"
        "+ It is 4.\n"
        "+\n"
        "+ ```\n"
        "+ 4\n"
        "+ ```<|im_end|>\n"
    )


def test_where_training_begins_inside_a_line_the_line_goes_on_below(prepared: Prepared, tmp_path: Path) -> None:
    template = tmp_path / "plain.jinja"
    template.write_text(
        "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>{{ m.content }} -> {% else %}"
        "{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
    )
    ds = prepared([chat("Hi", "Hello")], template=str(template))
    card = dataset_card(ds)
    assert block_of(card, "diff") == "  <|im_start|>Hi -> \n+>Hello<|im_end|>\n"
    assert "`>` continues the line above it." in card


def test_long_lines_are_folded_between_words(prepared: Prepared) -> None:
    ds = prepared([chat("Hi", "word " * 30 + "x" * 120)])
    assert block_of(dataset_card(ds), "diff").splitlines()[3:] == [
        f"+ {'word ' * 20}",
        f"+>{'word ' * 10}",
        f"+>{'x' * 100}",
        f"+>{'x' * 20}<|im_end|>",
    ]


def test_long_parts_of_a_sample_are_shown_by_their_ends(prepared: Prepared) -> None:
    ds = prepared([chat("word " * 300, "\n".join(str(n) for n in range(40)))])
    text = block_of(dataset_card(ds), "diff").splitlines()
    assert text.count("@@ some of it is left out here @@") == 2
    assert "+ 0" in text and "+ 39<|im_end|>" in text and "+ 20" not in text
    assert len("\n".join(text)) < 1000


def test_a_sample_with_a_secret_is_passed_over(prepared: Prepared) -> None:
    key = "sk-" + "a1B2c3D4e5F6" * 4
    ds = prepared(
        [chat("My key?", f"It is {key}."), chat("And now?", "Now there is none, and that is a longer answer.")]
    )
    card = dataset_card(ds)
    assert key not in card and "+ Now there is none" in card
    alone = prepared([chat("My key?", f"It is {key}.")], "alone")
    assert masked_text(alone, Masked(alone.manifest)) is None
    assert "No sample is shown: those that were looked at hold secrets or personal data." in dataset_card(alone)


def test_the_settings_make_the_same_dataset(prepared: Prepared, tmp_path: Path, tiny_tokenizer: Path) -> None:
    ds = prepared(ROWS, **{"pack.seq_len": 128, "split.validation": 10, "seed": 3, "dedup.near": True})
    text = block_of(dataset_card(ds), "yaml")
    assert text.splitlines()[:4] == [
        f"tokenizer: {tiny_tokenizer.name}",
        "sources:",
        "  - {path: chats.jsonl}",
        "out: {path: shards}",
    ]
    (tmp_path / "card.yaml").write_text(text)
    again = ("tokenizer=" + str(tiny_tokenizer), f"out.path={tmp_path / 'again'}")
    assert call("prepare", tmp_path / "card.yaml", *again, "--quiet")[0] == 0
    assert sftdata.open(tmp_path / "again").manifest.dataset_hash == ds.manifest.dataset_hash


def test_rows_given_in_python_are_named_in_the_settings(tiny_tokenizer: Path, tmp_path: Path) -> None:
    ds = sftdata.prepare(ROWS[:3], tokenizer=str(tiny_tokenizer), out=tmp_path / "out", progress=False)
    card = dataset_card(ds)
    assert "  - {path: rows}\n" in block_of(card, "yaml")
    assert "`rows` is 3 rows given in Python: write them to a file, and name it there.\n" in card


def test_the_same_dataset_gives_the_same_card_without_folders_of_the_machine(
    prepared: Prepared, tmp_path: Path
) -> None:
    first, second = prepared(ROWS, "a", workers=1), prepared(ROWS, "another-name", workers=2)
    written = first.report(markdown=True).read_bytes()
    assert written == second.report(markdown=True).read_bytes() == second.report(markdown=True).read_bytes()
    assert str(tmp_path).encode() not in written and tmp_path.name.encode() not in written
    assert b"another-name" not in written


def test_texts_and_names_of_data_stay_text(tiny_tokenizer: Path, tmp_path: Path) -> None:
    name = "a|b`c <script>alert(1)</script> *x* \u202e---.jsonl".replace("/", "_")
    column = "<b>|`col`"
    rows = [{**chat(f"{NASTY} {n}", NASTY), column: NASTY, "kept|`": f"{NASTY}{n % 2}"} for n in range(8)]
    rows += [{"messages": [{"role": "user", "content": NASTY}]}, {"messages": [{"role": NASTY, "content": "x"}]}]
    rows += [chat(NASTY, "")] * 3
    data = write_lines(tmp_path / name, rows)
    source = {"path": str(data), "keep": ["kept|`"], "system": NASTY}
    ds = sftdata.prepare(source, tokenizer=str(tiny_tokenizer), out=tmp_path / "out", progress=False)
    card = ds.report(markdown=True).read_text(encoding="utf-8")
    assert metadata_of(card)["pretty_name"] == "a|b`c <script>alert(1)<_script> *x* <U+202E>---.jsonl"
    assert "\u202e" not in card and "\\|" in card
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(card.split("---\n", 2)[2])
    every = [one for token in tokens for one in (token, *(token.children or ()))]
    assert {one.type for one in every if one.type.startswith("html")} == set()
    assert {one.type for one in every if one.type in ("em_open", "strong_open", "link_open", "image", "hr")} == set()
    headings = [tokens[at + 1].content for at, one in enumerate(tokens) if one.type == "heading_open"]
    assert len(headings) == len(set(headings)) and "head" not in headings
    assert yaml.safe_load(block_of(card, "yaml"))["sources"][0]["system"] == NASTY
    assert headings[1:4] == ["Warnings", "How to load it", "How to train on it"]
    columns = [
        len(re.findall(r"(?<!\\)\|", row))
        for row in section_of(card, "Where the rows went").splitlines()
        if row[:1] == "|"
    ]
    assert set(columns) == {7}
    assert verify(ds.path).packed == ds.manifest.counts.packed


def test_readme_is_beside_the_manifest_and_the_dataset_stays_valid(prepared: Prepared) -> None:
    ds = prepared(ROWS)
    code, out, _ = call("report", ds.path, "--markdown")
    assert code == 0 and out.startswith(f"{ds.path / 'README.md'}: ") and out.endswith(" bytes, a dataset card\n")
    assert (ds.path / "README.md").read_bytes().startswith(b"---\n# sftdata report of ")
    ds.report()
    assert verify(ds.path).packed == 60
    assert sftdata.open(ds.path).diff(ds).is_same


def test_a_readme_of_somebody_else_is_kept(prepared: Prepared) -> None:
    ds = prepared(ROWS)
    (ds.path / "README.md").write_text("# mine\n")
    code, _, errors = call("report", ds.path, "--markdown")
    assert code == 1 and "was not written by `sftdata report`, so it is kept" in errors
    assert (ds.path / "README.md").read_text() == "# mine\n"
    assert call("report", ds.path, "--markdown", "--overwrite", "--quiet") == (0, "", "")
    assert (ds.path / "README.md").read_text(encoding="utf-8").startswith("---\n")


def test_an_edited_card_is_kept_and_the_dataset_is_valid(prepared: Prepared) -> None:
    ds = prepared(ROWS)
    path = ds.report(markdown=True)
    path.write_text(path.read_text(encoding="utf-8") + "\nWritten by hand.\n", encoding="utf-8")
    assert verify(ds.path).packed == 60
    with pytest.raises(OutputError, match="was changed since `sftdata report` wrote it, so it is kept"):
        ds.report(markdown=True)
    assert "Written by hand." in path.read_text(encoding="utf-8")


def test_a_new_dataset_removes_the_card_of_the_old_one(prepared: Prepared) -> None:
    prepared(ROWS).report(markdown=True)
    ds = prepared(ROWS[:5], overwrite=True)
    assert not (ds.path / "README.md").exists()
    assert verify(ds.path).packed == 5


def test_an_edited_card_outlives_the_dataset_and_a_run_that_stops(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = prepared(ROWS).report(markdown=True)
    path.write_text(path.read_text(encoding="utf-8") + "\nWritten by hand.\n", encoding="utf-8")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("sftdata.pipeline.workspace.move_into", full)
        with pytest.raises(OutputError, match="disk is full"):
            prepared(ROWS[:5], overwrite=True)
    ds = prepared(ROWS[:5], overwrite=True)
    assert path.read_text(encoding="utf-8").endswith("\nWritten by hand.\n")
    with pytest.raises(DatasetError, match=r"an earlier one; write it again with `sftdata report .* --overwrite`"):
        verify(ds.path)


def test_the_card_of_another_dataset_is_refused_with_what_to_do(prepared: Prepared) -> None:
    ds, other = prepared(ROWS), prepared(ROWS[:5], "other")
    (ds.path / "README.md").write_bytes(other.report(markdown=True).read_bytes())
    with pytest.raises(DatasetError, match=r"is the report of another dataset.*sftdata report .* --markdown`"):
        verify(ds.path)
    ds.report(markdown=True)
    assert verify(ds.path).packed == 60


def test_what_verify_says_of_an_edited_card_of_another_dataset_works_when_pasted(prepared: Prepared) -> None:
    ds, other = prepared(ROWS), prepared(ROWS[:5], "other")
    (ds.path / "README.md").write_bytes(other.report(markdown=True).read_bytes() + b"\nWritten by hand.\n")
    code, _, errors = call("verify", ds.path)
    command = re.search(r"write it again with `sftdata (.*)`", errors)
    assert code == 1 and command is not None
    assert call(*command[1].split(), "--quiet") == (0, "", "")
    assert verify(ds.path).packed == 60


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"license": "mit"}, "is written into a report as Markdown only"),
        ({"license": "my own", "markdown": True}, "'my own' is no id of a license"),
        ({"data": ".", "markdown": True}, "is for the texts of dropped rows"),
    ],
)
def test_arguments_without_effect_are_refused(prepared: Prepared, arguments: dict[str, Any], what: str) -> None:
    ds = prepared(ROWS[:2])
    with pytest.raises(ConfigError, match=what):
        ds.report(**arguments)
    assert not (ds.path / "README.md").exists()


def test_a_dataset_without_a_ledger_and_one_in_which_nothing_is_packed_have_cards(
    prepared: Prepared, small_dataset: Path
) -> None:
    card = dataset_card(sftdata.open(small_dataset))
    assert [one["num_examples"] for one in metadata_of(card)["dataset_info"]["splits"]] == [2, 1]
    empty = dataset_card(prepared([{"messages": [{"role": "user", "content": "Hi"}]}]))
    assert "configs" not in metadata_of(empty) and "## How to load it" not in empty
    assert "nothing is packed: of 1 row read, 1 dropped" in empty


def test_the_card_of_a_split_is_that_of_the_whole_dataset(prepared: Prepared) -> None:
    ds = prepared(ROWS, **{"split.validation": 10})
    assert dataset_card(ds["validation"]) == dataset_card(ds)
