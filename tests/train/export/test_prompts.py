"""What an exported model is fed is, id for id, the prompt that its samples were trained after.

The prompts are read from the shards: the tokens of a sample before the first trained one. Each way to serve the model
gets the messages of the row, without the answer.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

import sfttrain
from sftdata.library.prepare import prepare
from sfttrain.export.write import export

CHATS = [
    [("user", "What is the capital of France?"), ("assistant", "Paris.")],
    [("system", "You are a helpful assistant."), ("user", "Numbers: 1234567890, 3.5 or \u00bd?"), ("assistant", "No.")],
    [
        ("user", "  leading and trailing  \n"),
        ("assistant", "Yes."),
        ("user", "fünf 五 🎉\n\ttabs"),
        ("assistant", "5."),
    ],
    [("user", "it's we'LL don't\r\nx<b>&amp;"), ("assistant", 'A "lamp".')],
]
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Trained:
    """An exported model, with the prompts that it was trained after and the messages of each."""

    folder: Path
    prompts: list[tuple[Messages, list[int]]]


@pytest.fixture(scope="module")
def trained(tiny_tokenizer: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Chats through all of it: prepared, trained for a step, exported with a GGUF file where that can be written."""
    folder = tmp_path_factory.mktemp("prompts")
    rows = [{"messages": [{"role": role, "content": text} for role, text in chat]} for chat in CHATS]
    (folder / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = prepare(folder / "chats.jsonl", tokenizer=tiny_tokenizer, out=folder / "shards", progress=False)
    settings = {"shards": folder / "shards", "model": tiny_model, "out": folder / "run"}
    sfttrain.run({**{key: str(value) for key, value in settings.items()}, "max_steps": 1, "dtype": "float32"})
    has_gguf = importlib.util.find_spec("gguf") is not None
    done = export(folder / "run", folder / "model", gguf="f32" if has_gguf else None)
    prompts = []
    for sample in map(dataset.sample, range(len(CHATS))):
        ids, labels = list(sample.input_ids), list(sample.labels)
        starts = [at for at in range(1, len(ids)) if labels[at] != -100 and labels[at - 1] == -100]
        messages = rows[int(str(sample.where).rpartition(":")[2]) - 1]["messages"]
        answers = [at for at, one in enumerate(messages) if one["role"] == "assistant"]
        assert len(starts) == len(answers)
        prompts += [(messages[:until], ids[:start]) for until, start in zip(answers, starts)]
    assert len(prompts) == 5
    return Trained(done.out, prompts)


@contextmanager
def fed_ids() -> Iterator[list[list[int]]]:
    """The ids that models are asked to continue, one list for each call."""
    from transformers import GenerationMixin

    seen: list[list[int]] = []
    generate = GenerationMixin.generate

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        ids = kwargs.get("input_ids", kwargs.get("inputs", args[0] if args else None))
        seen.append(ids[0].tolist())
        return generate(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GenerationMixin, "generate", recorded)
        yield seen


def test_the_chat_pipeline_of_transformers_is_fed_the_prompts(trained: Trained):
    from transformers import pipeline

    chat = pipeline("text-generation", str(trained.folder))
    with fed_ids() as seen:
        for messages, _ in trained.prompts:
            chat([dict(one) for one in messages], max_new_tokens=1)
    assert seen == [prompt for _, prompt in trained.prompts]


def answers(port: int, model: str, messages: Messages) -> bool:
    """Whether the server answers; False where it does not listen yet."""
    body = json.dumps({"model": model, "messages": messages, "max_tokens": 1}).encode()
    kind = {"Content-Type": "application/json"}
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}/v1/chat/completions", body, kind), timeout=120) as answer:
            return bool(answer.status == 200)
    except URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return False
        raise


def test_transformers_serve_is_fed_the_prompts(trained: Trained, tmp_path: Path):
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "openai")):
        pytest.skip('transformers serve needs pip install "transformers[serving]"')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model, record = str(trained.folder), tmp_path / "fed.jsonl"
    command = [sys.executable, str(Path(__file__).with_name("serve_recorded.py")), model, str(port), str(record)]
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            for messages, _ in trained.prompts:
                while not answers(port, model, messages):
                    assert server.poll() is None, (tmp_path / "log").read_text()
                    time.sleep(0.2)
        finally:
            server.kill()
    fed = [json.loads(line) for line in record.read_text().splitlines()]
    assert fed == [prompt for _, prompt in trained.prompts]


@pytest.fixture(scope="module")
def llama_cpp(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What llama.cpp says of the GGUF file: see llama_cpp.mjs."""
    pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
    folder = os.environ.get("SFTDATA_LLAMA_CPP", "")
    node = shutil.which("node")
    if node is None or not Path(folder, "node_modules", "node-llama-cpp").is_dir():
        pytest.skip("npm install --prefix DIR node-llama-cpp @node-llama-cpp/linux-x64, and set SFTDATA_LLAMA_CPP=DIR")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(trained.folder)
    asked = {
        "folder": folder,
        "model": str(trained.folder / "model-f32.gguf"),
        "conversations": [messages for messages, _ in trained.prompts],
        "prompts": [
            tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            for messages, _ in trained.prompts
        ],
        "tokens": 8,
    }
    script = Path(__file__).with_name("llama_cpp.mjs")
    out = tmp_path_factory.mktemp("llama_cpp") / "found.json"
    run = subprocess.run(
        [node, str(script), str(out)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_llama_cpp_is_fed_the_prompts(trained: Trained, llama_cpp: dict[str, Any]):
    """By its own tokenizer, from the template in the file: rendered as Python does, and as node-llama-cpp does."""
    assert llama_cpp["template"] == (trained.folder / "chat_template.jinja").read_text()
    assert llama_cpp["beginsWithBos"] is False
    prompts = [prompt for _, prompt in trained.prompts]
    assert llama_cpp["encoded"] == prompts
    assert llama_cpp["fed"] == prompts


def test_llama_cpp_answers_as_transformers_does(trained: Trained, llama_cpp: dict[str, Any]):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(trained.folder).eval()
    for (_, prompt), answer in zip(trained.prompts, llama_cpp["answers"]):
        ids = torch.tensor([prompt])
        found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        assert found[0, len(prompt) :].tolist() == answer


def test_a_prompt_that_the_template_writes_with_an_argument_is_recorded_and_used_by_chat(
    tiny_tokenizer: Path, tiny_model: Path, tmp_path: Path
):
    """Qwen3's template lets the model think by default; answers without reasoning were trained behind no thought."""
    from sfttrain.chat.model import ChatModel

    rows = [{"messages": [{"role": role, "content": text} for role, text in CHATS[0]]}]
    (tmp_path / "chats.jsonl").write_text(json.dumps(rows[0]) + "\n")
    how = {"tokenizer": tiny_tokenizer, "template": "qwen3", "out": tmp_path / "shards"}
    dataset = prepare(tmp_path / "chats.jsonl", progress=False, **how)
    settings = {"shards": tmp_path / "shards", "model": tiny_model, "out": tmp_path / "run"}
    sfttrain.run({**{key: str(value) for key, value in settings.items()}, "max_steps": 1, "dtype": "float32"})
    done = export(tmp_path / "run", tmp_path / "model")
    assert json.loads((done.out / "export.json").read_text())["chat_template_kwargs"] == {"enable_thinking": False}
    assert any('serve it with {"enable_thinking": false}' in note for note in done.notes)
    sample = dataset.sample(0)
    first = next(at for at, label in enumerate(sample.labels) if label != -100)
    question = [{"role": "user", "content": CHATS[0][0][1]}]
    for folder in (done.out, tmp_path / "run"):
        assert ChatModel(str(folder)).prompt(question) == list(sample.input_ids[:first])
