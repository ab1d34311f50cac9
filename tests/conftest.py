"""What many tests need: the shared data where it is, and a small tokenizer with a chat template of its own."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# The helpers that lie beside this file (importlib mode adds no folder to the path).
TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))

import s3_server as s3  # noqa: E402
from ray_cluster import ENVIRONMENT  # noqa: E402

if TYPE_CHECKING:
    from ray_cluster import RayCluster

# Ray reads these when it is imported, and other libraries that tests import do that where it is installed.
os.environ.update(ENVIRONMENT)
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes of pytest share the cores, and matrices are tiny

# No test is about a loss of power: what is written need not be on the disk before a test goes on. Waiting for disks
# takes longer than most tests. Programs that tests start do wait.
os.fsync = lambda descriptor: None

# A slow machine is no failure, and the same code passes or fails everywhere. `make properties` looks for new examples.
settings.register_profile("sftdata", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", settings.get_profile("sftdata"), derandomize=False, print_blob=True)
settings.load_profile("sftdata")

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CORPUS = [
    "The quick brown fox jumps over the lazy dog. Numbers: 0 1 2 3 4 5 6 7 8 9.",
    "system user assistant tool: You are a helpful assistant. What is the capital of France? Paris.",
    'A JSON object: {"name": "lamp", "price": 12.5, "tags": ["light", "desk"]}\n',
] * 20


# What takes longest, files and folders: begun last, one of them would keep one process when the others have ended.
SLOW = (
    "project/test_pages.py",
    "project/test_pages_that_follow.py",
    "pipeline/test_faults.py",
    "project/test_recipes.py",
    "train",
    "browser",
)

# The folders with tests that connect to a Ray cluster. `make test` looks for them there alone.
WITH_RAY = {"engines", "pipeline", "remote"}


@cache
def slowness(path: Path) -> int:
    """The place of a test file among SLOW, or the last one."""
    inside = path.resolve().relative_to(TESTS)
    names = {inside.as_posix(), *(folder.as_posix() for folder in inside.parents)}
    return next((place for place, name in enumerate(SLOW) if name in names), len(SLOW))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first. `make test` keeps this order; xdist alone would begin with the files that have most tests.

    Tests that connect to a Ray cluster get the mark `ray`: `make test` runs them in one process, with one cluster.
    """
    items.sort(key=lambda item: slowness(item.path))
    for item in items:
        if "ray_cluster" in getattr(item, "fixturenames", ()):
            folder = item.path.resolve().relative_to(TESTS).parts[0]
            assert folder in WITH_RAY, f"{item.nodeid}: add its folder to WITH_RAY and to `make test`"
            item.add_marker("ray")


def pytest_collection_finish() -> None:
    """Python does not look for garbage among all modules and tests again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with shared data and tokenizers; tests that ask for it skip where it is absent."""
    folder = Path(os.environ.get("SFTDATA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("the shared data folder is not here (set SFTDATA_SHARED)")
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a byte-level BPE of 600 entries, ChatML control tokens (ids 0, 1, 2) and a ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    folder = tmp_path_factory.mktemp("tiny_tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1000000,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server. Tests that ask for it skip where the extra `dev` is absent."""
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    pytest.importorskip("moto.server", reason="the extra `dev` is not installed")
    with s3.started() as address:
        yield address


@pytest.fixture(scope="session")
def s3_door(s3_server: str) -> Iterator[s3.Door]:
    """A door before the S3 server that fails as it is told."""
    with s3.Door(s3_server) as door:
        yield door


@pytest.fixture
def s3_environment(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials for the S3 server in the environment of the test alone, and no settings of the machine."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3.variables(s3_server, tmp_path).items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def ray_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A Ray cluster on this machine. Tests that ask for it skip where the extra `ray` is absent. Its workers find the
    S3 server, where the extra `dev` is there, through a door.
    """
    from ray_cluster import RayCluster

    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    variables = {}
    if all(find_spec(name) for name in ("s3fs", "moto")):
        door = request.getfixturevalue("s3_door")
        variables = {**s3.variables(door.address, tmp_path_factory.mktemp("no-settings")), **s3.QUICK}
    tests = Path(__file__).resolve().parent
    with RayCluster(tests, tests / "engines", tests / "pipeline", variables=variables) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def sentence_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real sentence-transformers model: a BERT of two layers with random weights that knows letters
    and a few words, and the mean of its tokens. Tests that ask for it skip where the extra `semantic` is absent.
    """
    pytest.importorskip("faiss", reason="the extra `semantic` is not installed")
    pytest.importorskip("sentence_transformers", reason="the extra `semantic` is not installed")
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("sentence_model")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,?"
    words = ["the", "train", "sea", "red", "blue", "nine", *letters, *(f"##{letter}" for letter in letters)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    BertTokenizerFast(vocab={token: number for number, token in enumerate(tokens)}).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(tokens), max_position_embeddings=128, **sizes)).save_pretrained(folder)
    modules = [("", "sentence_transformers.models.Transformer"), ("1_Pooling", "sentence_transformers.models.Pooling")]
    entries = [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder
