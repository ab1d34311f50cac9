"""A folder is read as its owner means it: a saved Dataset, a clone of a hub repository, or all its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sftdata.config import SourceConfig
from sftdata.errors import SourceError
from sftdata.read import plan_units, read_raw
from sftdata.read.splits import splits_by_name

datasets = pytest.importorskip("datasets")
ROWS = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(4)]
DATASET = datasets.Dataset.from_list(ROWS)


def read(path: Path, default: str = "train", **settings: Any) -> tuple[list[str], list[str]]:
    """The prompts of a source's rows, and the notes about what is not read."""
    notes: list[str] = []
    units = plan_units(
        [SourceConfig(path=str(path), **settings)],
        default_split=default,
        note=lambda source, text: notes.append(text),
    )
    return [row.value["prompt"] for unit in units for row in read_raw(unit)], notes  # type: ignore[index]


def write(folder: Path, **files: str) -> Path:
    """Files with one row each, whose prompt is given."""
    for name, prompt in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"prompt": prompt, "completion": "a"}) + "\n", encoding="utf-8")
    return folder


def test_a_saved_dataset_has_the_files_that_its_state_lists_in_that_order(tmp_path):
    DATASET.save_to_disk(tmp_path / "saved", num_shards=2)
    folder = tmp_path / "saved"
    (folder / "cache-1234.arrow").write_bytes((folder / "data-00000-of-00002.arrow").read_bytes())
    (folder / "data-00000-of-00001.arrow").write_bytes((folder / "data-00000-of-00002.arrow").read_bytes())
    assert read(folder) == (["q0", "q1", "q2", "q3"], [])
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"].reverse()
    (folder / "state.json").write_text(json.dumps(state))
    assert read(folder) == (["q2", "q3", "q0", "q1"], [])


def test_a_shuffled_and_filtered_dataset_has_its_rows_in_its_order(tmp_path):
    DATASET.select([3, 1, 1]).save_to_disk(tmp_path / "saved")
    assert read(tmp_path / "saved") == (["q3", "q1", "q1"], [])


def with_indices(folder: Path, key: str) -> Path:
    """A saved Dataset as older versions of the library wrote it: all rows, and which of them count, in an own file."""
    DATASET.save_to_disk(folder, num_shards=2)
    with pa.ipc.new_stream(folder / "indices.arrow", pa.schema([("indices", pa.uint64())])) as writer:
        writer.write_table(pa.table({"indices": pa.array([3, 0, 3], pa.uint64())}))
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, key: [{"filename": "indices.arrow"}]}))
    return folder


@pytest.mark.parametrize("key", ["_indices_data_files", "_indices_files"])
def test_of_a_saved_dataset_with_indices_the_rows_that_they_choose_are_read(tmp_path, key):
    assert read(with_indices(tmp_path / "saved", key)) == (["q3", "q0", "q3"], [])


def test_a_file_of_a_saved_dataset_with_indices_is_refused_by_itself(tmp_path):
    folder = with_indices(tmp_path / "saved", "_indices_data_files")
    for path in (folder / "data-00000-of-00002.arrow", folder / "data-*.arrow"):
        with pytest.raises(SourceError, match="an indices file says which of its rows count; give the folder: "):
            read(path)


def test_indices_beyond_the_rows_are_an_error(tmp_path):
    folder = with_indices(tmp_path / "saved", "_indices_data_files")
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"].pop()
    (folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(SourceError, match="has an indices file that points at rows it has not"):
        read(folder)


def test_of_a_saved_dict_one_split_is_read_train_unless_another_is_asked_for(tmp_path):
    datasets.DatasetDict(train=DATASET, test=DATASET.select([2])).save_to_disk(tmp_path / "saved")
    assert read(tmp_path / "saved") == (["q0", "q1", "q2", "q3"], ["the split train is read, not test"])
    assert read(tmp_path / "saved", split="test") == (["q2"], ["the split test is read, not train"])
    assert read(tmp_path / "saved", default="test")[0] == ["q2"]
    with pytest.raises(SourceError, match="has no split dev; set split to one that it has: train, test"):
        read(tmp_path / "saved", split="dev")


def test_a_saved_dataset_that_lacks_a_file_is_an_error(tmp_path):
    DATASET.save_to_disk(tmp_path / "saved", num_shards=2)
    (tmp_path / "saved" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(SourceError, match=r"data-00001-of-00002\.arrow: is listed in state\.json, but is not there"):
        read(tmp_path / "saved")


def clone(folder: Path, readme: str) -> Path:
    """A clone of a hub repository."""
    write(folder, **{"en/a.jsonl": "en", "en/b.jsonl": "en test", "de/a.jsonl": "de", "raw.jsonl": "raw"})
    (folder / "README.md").write_text(readme, encoding="utf-8")
    (folder / ".gitattributes").touch()
    return folder


CONFIGS = """---
license: mit
configs:
- config_name: english
  data_files:
  - {split: train, path: en/a.jsonl}
  - {split: test, path: en/b.jsonl}
- config_name: german
  data_files: de/*.jsonl
---
# Chats
"""


def test_the_readme_of_a_cloned_repository_says_which_files_are_which_split_and_subset(tmp_path):
    folder = clone(tmp_path / "chats", CONFIGS)
    rest = "2 other files (de/a.jsonl, raw.jsonl)"
    said = "the split train of the subset english is read; not read: the split test (1 file); the subset german; "
    assert read(folder, subset="english") == (["en"], [f"{said}{rest}"])
    assert read(folder, subset="english", split="test")[0] == ["en test"]
    said = "the split train of the subset german is read; not read: the subset english; "
    rest = "3 other files (en/a.jsonl, en/b.jsonl, raw.jsonl)"
    assert read(folder, subset="german") == (["de"], [f"{said}{rest}"])
    with pytest.raises(SourceError, match="has no split dev; set split to one that it has: train, test"):
        read(folder, subset="english", split="dev")
    with pytest.raises(SourceError, match=r"Config name is missing.*english.*german"):
        read(folder)
    with pytest.raises(SourceError, match="'french' not found"):
        read(folder, subset="french")


def test_a_readme_that_names_no_files_says_nothing(tmp_path):
    folder = clone(tmp_path / "chats", "---\nlicense: mit\n---\nconfigs: see below\n")
    assert read(folder)[0] == ["de", "en", "en test", "raw"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["data/train-00000-of-00001.parquet", "data/test_sft-00000-of-00001.parquet", "train.jsonl"], ("train", 0)),
        (["train.jsonl", "test.jsonl"], ("train", 0)),
        (["TRAIN.csv", "x/my-eval_1.csv"], ("train", 0)),
        (["a/training/1.jsonl", "b/dev/1.jsonl", "train.jsonl"], ("train", 0)),
        (["chats_train2.jsonl", "chats.validation.jsonl"], ("train", 0)),
    ],
)
def test_names_say_which_split_a_file_is(files, expected):
    split, at = expected
    assert splits_by_name(files)[split] == [files[at]]


def test_names_say_what_the_datasets_library_takes_from_them(tmp_path):
    from datasets.data_files import DataFilesDict, get_data_patterns

    for number, names in enumerate(
        [
            ["train.jsonl", "test.jsonl", "other.jsonl"],
            ["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/dev-00000-of-00001.jsonl"],
            ["train/a.jsonl", "test/a.jsonl", "train.jsonl", "a/testing/b/c.jsonl"],
            ["my_training set.jsonl", "x-eval.jsonl", "evaluate.jsonl", "trainer.jsonl", "val.1.jsonl"],
            ["contest.jsonl", "latest.jsonl", "retrain-1.jsonl", "pre-train-1.jsonl", "test_1.jsonl"],
        ]
    ):
        folder = write(tmp_path / str(number), **dict.fromkeys(names, "x"))
        found = DataFilesDict.from_patterns(get_data_patterns(str(folder)), str(folder))
        splits = {
            str(split): sorted(Path(file).relative_to(folder).as_posix() for file in of) for split, of in found.items()
        }
        assert {split: sorted(of) for split, of in splits_by_name(names).items()} == splits


def test_of_a_folder_with_train_and_test_files_the_train_files_are_read_and_that_is_said(tmp_path):
    write(tmp_path, **{"train.jsonl": "q", "test.jsonl": "t", "more.jsonl": "m"})
    note = "the split train is read (train.jsonl), not more.jsonl (no split), test.jsonl (test)"
    assert read(tmp_path) == (["q"], [note])
    assert read(tmp_path, split="test")[0] == ["t"]
    assert read(tmp_path, default="test")[0] == ["t"]
    with pytest.raises(SourceError, match="none for validation; set split to one that it has: train, test"):
        read(tmp_path, split="validation")


def test_a_folder_without_a_sign_of_splits_is_all_its_files(tmp_path):
    write(tmp_path, **{"faq.jsonl": "f", "training.jsonl": "t"})
    only = "to read only what is named for the split, set split: train"
    assert read(tmp_path) == (["f", "t"], [f"training.jsonl and faq.jsonl are read together; {only}"])
    assert read(tmp_path, split="train")[0] == ["t"]


@pytest.mark.parametrize("name", ["testset.jsonl", "holdout.jsonl", "held_out-2.jsonl", "b/evalset.jsonl"])
def test_files_that_may_be_for_tests_are_named_where_they_are_read(tmp_path, name):
    write(tmp_path, **{"trainset.jsonl": "t", name: "h"})
    note = f"{name} may be for tests, and is read like the others; to leave files out, name those to read"
    assert read(tmp_path)[1] == [note]


@pytest.mark.parametrize("name", ["contest.jsonl", "latest.jsonl", "device.jsonl", "values.jsonl", "a/medieval.jsonl"])
def test_words_in_longer_words_say_nothing_of_tests(tmp_path, name):
    write(tmp_path, **{"a.jsonl": "t", name: "h"})
    assert read(tmp_path)[1] == []


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["data/train_sft-00000-of-00001.jsonl", "data/test_sft-00000-of-00001.jsonl"], "set split: train_sft to read"),
        (
            [f"data/{split}-00000-of-00001.jsonl" for split in ("train_sft", "train_gen", "test_sft", "test_gen")],
            "set split to one of them, such as train_gen or train_sft, or name the files",
        ),
        (["a.test.jsonl", "a.dev.jsonl"], "set split to the one to use, or name the files"),
        (["test.jsonl"], "if these are the rows to use, set split: test"),
        (
            ["sft/data.jsonl", "eval/data.jsonl"],
            "to read what is named for no split \\(sft/data.jsonl\\), name it: .*/sft/",
        ),
    ],
)
def test_no_split_for_tests_is_suggested_to_train_on(tmp_path, names, hint):
    write(tmp_path, **dict.fromkeys(names, "x"))
    with pytest.raises(SourceError, match=f"none for train; {hint}"):
        read(tmp_path)


def test_files_for_a_test_are_not_trained_on_because_no_file_is_named_for_training(tmp_path):
    write(tmp_path, **{"faq.jsonl": "f", "eval.jsonl": "e"})
    with pytest.raises(SourceError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: has files that are named for the split test (eval.jsonl), and none for train; "
        f"to read what is named for no split (faq.jsonl), name it: {tmp_path}/faq.jsonl"
    )
    assert read(tmp_path / "*.jsonl")[0] == ["e", "f"]
    assert read(tmp_path, split="test")[0] == ["e"]


def test_splits_that_were_saved_one_by_one_are_splits(tmp_path):
    DATASET.save_to_disk(tmp_path / "train")
    DATASET.select([0]).save_to_disk(tmp_path / "test")
    assert read(tmp_path)[0] == ["q0", "q1", "q2", "q3"]


def test_a_setting_that_chooses_nothing_is_an_error(tmp_path):
    write(tmp_path, **{"a.jsonl": "a"})
    DATASET.save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "a.jsonl", tmp_path / "*.jsonl", tmp_path, tmp_path / "saved"):
        for name in ("split", "subset"):
            with pytest.raises(SourceError, match=f"{name}: train does nothing for this source, which has no {name}s"):
                read(path, **{name: "train"})


NOT_DATA = [
    "cache-0123.arrow",
    "indices.arrow",
    "trainer_state.json",
    "tokenizer.json",
    "config.json",
    "generation_config.json",
    "vocab.json",
    "model.safetensors.index.json",
    "special_tokens_map.json",
    "adapter_config.json",
    "~$chats.csv",
]


def test_files_that_nobody_means_as_data_are_skipped_in_a_folder_and_said(tmp_path):
    names = [*NOT_DATA, "checkpoint-20/a.jsonl", "__pycache__/a.json", ".git/a.json", ".a.jsonl", "a.jsonl~"]
    names.remove("trainer_state.json")
    write(tmp_path, **dict.fromkeys(names, "x"), **{"b.jsonl": "b"})
    prompts, (note,) = read(tmp_path)
    assert prompts == ["b"]
    assert note.startswith(
        "skipped adapter_config.json (is a file of a model or tokenizer), cache-0123.arrow (is a cache"
    )


@pytest.mark.parametrize("name", NOT_DATA)
def test_a_file_that_nobody_means_as_data_is_refused_by_itself(tmp_path, name):
    write(tmp_path, **{name: "x"})
    with pytest.raises(SourceError, match="not data; name the data file, or rename this one if it is data"):
        read(tmp_path / name)
    with pytest.raises(SourceError, match="matches no data, only "):
        read(tmp_path / f"{name[0]}*")


def test_a_checkpoint_is_refused(tmp_path):
    write(tmp_path / "run", **{"trainer_state.json": "x", "log.jsonl": "y"})
    with pytest.raises(SourceError, match="is a checkpoint of a training run; give the folder of the data"):
        read(tmp_path / "run")


def test_a_dataset_that_sftdata_prepared_is_no_source(tmp_path):
    out = write(tmp_path / "out", **{"train/0.jsonl": "x"})
    (out / "manifest.json").write_text('{"dataset_hash": "0", "shards": [], "ledger": []}')
    for path in (out, out / "train" / "0.jsonl", out / "train" / "*.jsonl"):
        with pytest.raises(SourceError, match=r"a dataset that sftdata prepared.*give the raw files"):
            read(path)
    write(tmp_path, **{"a.jsonl": "a"})
    assert read(tmp_path) == (["a"], ["skipped out/ (is a dataset that sftdata prepared, not raw data)"])


def test_files_that_cannot_be_read_and_empty_ones_are_said_and_readmes_and_programs_are_not(tmp_path):
    write(tmp_path, **{"a.jsonl": "a", "b.parq": "b", "old/c.jsonl.lz4": "c", "notes.txt": "d", "make.py": "e"})
    (tmp_path / "README.md").write_text("Chats")
    (tmp_path / "LICENSE").write_text("MIT")
    (tmp_path / "d.jsonl").touch()
    why = "has a suffix that sftdata cannot read"
    said = f"skipped b.parq ({why}), notes.txt ({why}), old/c.jsonl.lz4 ({why})"
    assert read(tmp_path) == (["a"], [said, "empty: d.jsonl"])
    assert read(tmp_path / "*.*") == (["a"], [f"skipped b.parq ({why}), notes.txt ({why})", "empty: d.jsonl"])


def test_a_split_that_no_file_is_named_for_is_refused_with_those_that_there_are(tmp_path):
    write(tmp_path, **{"train.jsonl": "a", "test.jsonl": "b", "dev.jsonl": "c"})
    with pytest.raises(SourceError, match="named for the splits train, validation, test, and none for other"):
        read(tmp_path, split="other")
