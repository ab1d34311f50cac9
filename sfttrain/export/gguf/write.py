"""A folder of transformers as one GGUF file, tensor by tensor, by the classes of llama.cpp's own package `gguf`.

That package writes and quantizes, but does not convert: llama.cpp's script for that is in no package that is kept up.
So the few architectures whose tensors need no more than a name are written here, and all others are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftdata.errors import ConfigError, ModelError
from sfttrain.export.gguf.architectures import Architecture, add_sizes, architecture_of
from sfttrain.export.gguf.tokenizer import CONVERT, add_vocabulary, read_vocabulary

if TYPE_CHECKING:
    import numpy as np
    import torch
    from gguf import GGMLQuantizationType

KINDS = ("q8_0", "f16", "bf16", "f32")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor to write: its names, its shape, and its type in the file."""

    name: str  # in GGUF
    source: str  # in safetensors; empty for the factors of the positions
    shape: tuple[int, ...]
    kind: GGMLQuantizationType


def check_kind(kind: str) -> None:
    """Raise ConfigError where a type of weights is not written, or the package is not there."""
    if kind not in KINDS:
        what = f"{kind} is not a type that is written"
        todo = f"give one of {', '.join(KINDS)}; llama-quantize of llama.cpp makes others from f16"
        raise ConfigError("--gguf", what, todo)
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise ConfigError("--gguf", "the package gguf is not installed", 'pip install "sftdata[gguf]"') from error


def write_gguf(folder: Path, path: Path, kind: str, ends: Sequence[int], name: str) -> tuple[str, ...]:
    """Write the model of a folder to a GGUF file, with weights of a kind of KINDS; what should be said of it.

    Raises ModelError where llama.cpp would compute something else, or encode texts in another way.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    architecture = architecture_of(config)
    vocabulary = read_vocabulary(folder, config.vocab_size, ends)
    tensors = list(_tensors(folder, architecture, GGMLQuantizationType[kind.upper()]))
    writer = GGUFWriter(path, architecture.name)
    writer.add_name(name)
    writer.add_file_type(LlamaFileType.ALL_F32 if kind == "f32" else LlamaFileType[f"MOSTLY_{kind.upper()}"])
    writer.add_quantization_version(2)
    add_sizes(writer, architecture)
    add_vocabulary(writer, vocabulary)
    _write_tensors(writer, folder, architecture, tensors)
    writer.close()
    notes = []
    if vocabulary.is_normalized:
        notes.append("llama.cpp does not compose characters (NFC) as the tokenizer does: texts that need it differ")
    if any(one.kind == GGMLQuantizationType.F16 for one in tensors) and kind == "q8_0":
        notes.append("weights in rows that are no multiple of 32 are f16 in the GGUF file")
    return tuple(notes)


def _tensors(folder: Path, architecture: Architecture, kind: GGMLQuantizationType) -> Iterator[Tensor]:
    """Every tensor by its name in GGUF. Raises ModelError for one that GGUF does not know."""
    from gguf import MODEL_ARCH_NAMES, GGMLQuantizationType, get_tensor_name_map

    arch = next(key for key, value in MODEL_ARCH_NAMES.items() if value == architecture.name)
    names = get_tensor_name_map(arch, architecture.config.num_hidden_layers)
    factors = architecture.rope_factors()
    if factors is not None:
        yield Tensor("rope_freqs.weight", "", tuple(factors.shape), GGMLQuantizationType.F32)
    for source, shape in _shapes(folder):
        named = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if named is None:
            raise ModelError("--gguf", f"the tensor {source} has no name in GGUF", CONVERT)
        used = kind if len(shape) > 1 else GGMLQuantizationType.F32
        if used == GGMLQuantizationType.Q8_0 and shape[-1] % 32:
            used = GGMLQuantizationType.F16
        yield Tensor(named, source, shape, used)


def _write_tensors(writer: Any, folder: Path, architecture: Architecture, tensors: Sequence[Tensor]) -> None:
    """Write the file, with one tensor in memory at a time."""
    import numpy as np
    from gguf.quants import quant_shape_to_byte_shape

    for one in tensors:
        shape = quant_shape_to_byte_shape(one.shape, one.kind) if _as_bytes(one) else one.shape
        dtype = np.dtype(np.uint8 if _as_bytes(one) else _NUMPY[one.kind.name])
        writer.add_tensor_info(one.name, shape, dtype, int(np.prod(shape)) * dtype.itemsize, one.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for one in tensors:
        writer.write_tensor_data(_data(folder, architecture, one))


_NUMPY = {"F32": "float32", "F16": "float16"}


def _as_bytes(one: Tensor) -> bool:
    return one.kind.name not in _NUMPY


def _data(folder: Path, architecture: Architecture, one: Tensor) -> np.ndarray[Any, Any]:
    """The values of a tensor as they are in the file."""
    from gguf.quants import quantize

    if one.source:
        data = _load(folder, one.source).float()
        change = architecture.change_of(one.source)
        data = change(data) if change is not None else data
    else:
        factors = architecture.rope_factors()
        assert factors is not None
        data = factors
    return quantize(data.contiguous().numpy(), one.kind)


def _shapes(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of a folder's safetensors with its shape, in the order of their names."""
    from safetensors import safe_open

    found = {}
    for path in _files(folder):
        with safe_open(str(path), framework="pt") as file:
            found.update({name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
    yield from sorted(found.items())


def _load(folder: Path, name: str) -> torch.Tensor:
    """One tensor."""
    from safetensors import safe_open

    for path in _files(folder):
        with safe_open(str(path), framework="pt") as file:
            if name in file.keys():  # noqa: SIM118
                tensor: torch.Tensor = file.get_tensor(name)
                return tensor
    raise KeyError(name)


def _files(folder: Path) -> list[Path]:
    """The weights of a folder. Raises ModelError where they are not safetensors."""
    found = sorted(folder.glob("model*.safetensors"))
    if not found:
        raise ModelError("--gguf", "the run has saved no weights as safetensors", CONVERT)
    return found
