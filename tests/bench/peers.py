"""What others take to prepare the same file, in seconds."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from measure import output

LLAMA_FACTORY = "LLAMA_FACTORY_PYTHON"  # names a Python that has llamafactory, where there is one
# SmolLM2's own template, with its answers marked as TRL asks for.
MARKED = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou"
    " are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}{% generation %}"
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}{{ message['content'] + '<|im_end|>' }}"
    "{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class Trl:
    """TRL's SFTTrainer, two processes: what it does before the first step, its imports not counted."""

    name = "TRL SFTTrainer"

    def __init__(self, script: Path, data: Path, tokenizer: Path, work: Path) -> None:
        marked = work / "marked"
        shutil.copytree(tokenizer, marked)
        (marked / "chat_template.jinja").chmod(0o644)
        (marked / "chat_template.jinja").write_text(MARKED, encoding="utf-8")
        self._command = [sys.executable, str(script), str(data), str(marked)]

    def seconds(self) -> float:
        """Prepare the file; the trainer's own `prepare_s`."""
        return float(json.loads(output(self._command).splitlines()[-1])["prepare_s"])


# Runs what `llamafactory-cli train` runs until the tokenized data is there: load, template, tokenize, mask, pack.
_PROGRAM = """
import json, sys, time
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer
arguments = get_train_args(json.loads(sys.argv[1]))
start = time.perf_counter()
model, data, training = arguments[:3]
tokenizer = load_tokenizer(model)
template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data)
get_dataset(template, model, data, training, stage="sft", **tokenizer)
print(json.dumps(time.perf_counter() - start))
"""


class LlamaFactory:
    """LLAMA-Factory, two processes, its imports not counted; in an environment of its own."""

    name = "LLaMA-Factory"

    def __init__(self, data: Path, tokenizer: Path, work: Path) -> None:
        self._work = work / "llama_factory"
        self._work.mkdir()
        model = self._work / "model"
        shutil.copytree(tokenizer, model)
        model.chmod(0o755)
        (model / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
        tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
        described = {
            "file_name": str(data),
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {**tags, "system_tag": "system"},
        }
        (self._work / "dataset_info.json").write_text(json.dumps({"data": described}))

    def seconds(self) -> float:
        """Prepare the file into a folder that was not there before."""
        shutil.rmtree(self._work / "out", ignore_errors=True)
        settings = {
            "model_name_or_path": str(self._work / "model"),
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "dataset": "data",
            "dataset_dir": str(self._work),
            "template": "chatml",
            "cutoff_len": 2048,
            "packing": True,
            "preprocessing_num_workers": 2,
            "overwrite_cache": True,
            "output_dir": str(self._work / "out"),
            "report_to": "none",
        }
        python = os.environ[LLAMA_FACTORY]
        cache = {"HF_DATASETS_CACHE": str(self._work / "out" / "cache")}
        return float(output([python, "-c", _PROGRAM, json.dumps(settings)], cache).splitlines()[-1])
