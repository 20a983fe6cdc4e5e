"""Reads the tensors of a PyTorch checkpoint without PyTorch, and without running what a stranger pickled.

A checkpoint is a pickle that names functions to be called. Here it can name a handful, all of them our own and
inert; anything else is refused before it is looked up.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from app.core.errors import UnmaskError

Tensors = dict[str, npt.NDArray[Any]]

_MAGIC = 0x1950A86A20F9469CFC6C
"""First pickle of a file from before PyTorch 1.6; later ones are ZIP archives."""
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}


@dataclass(frozen=True, slots=True)
class _Storage:
    """What a pickle says of a block of numbers that lies elsewhere in the file."""

    key: str
    dtype: str


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> Tensors:
    """The tensors of a ``.pth`` file by name: of its ``state_dict`` where it has one, else of the whole.

    Both formats are read, that of PyTorch 1.6 and later and the one before. A leading ``module.``, which a model
    trained on several GPUs has before its names, is taken away.

    Raises:
        UnmaskError: the file cannot be read, holds no tensors by name, or holds more than plain tensors.
    """
    try:
        with path.open("rb") as file:
            content, storages = _from_zip(file) if zipfile.is_zipfile(path) else _from_stream(file)
        named = content.get("state_dict", content) if isinstance(content, Mapping) else {}
        found = {
            str(name).removeprefix("module."): _materialized(value, storages)
            for name, value in named.items()
            if isinstance(value, _Tensor)
        }
    except OSError as error:
        raise UnmaskError(f"{path}: cannot be read ({error.strerror}); give the downloaded .pth file") from None
    except UnmaskError as error:
        raise UnmaskError(f"{path}: {error}") from None
    # Whatever a damaged pickle makes Python stumble over.
    except Exception as error:
        raise UnmaskError(f"{path}: is no PyTorch checkpoint ({error}); download it again") from None
    if not found:
        raise UnmaskError(f"{path}: holds no tensors by name; give the file of a state_dict")
    return found


def _from_zip(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        [index] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = index.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("numbers with the most significant byte first")
        names = [name for name in archive.namelist() if name.startswith(f"{folder}data/")]
        storages = {name.removeprefix(f"{folder}data/"): archive.read(name) for name in names}
        return _Restricted(io.BytesIO(archive.read(index))).load(), storages


def _from_stream(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    magic, _protocol, _system = (_Restricted(file).load() for _ in range(3))
    if magic != _MAGIC:
        raise ValueError("it begins otherwise")
    pickled = _Restricted(file)
    content = pickled.load()
    storages = {}
    for key in _Restricted(file).load():
        count = int.from_bytes(file.read(8), "little", signed=True)
        storages[str(key)] = file.read(max(0, count) * np.dtype(pickled.dtypes[str(key)]).itemsize)
    return content, storages


class _Restricted(pickle.Unpickler):
    """An unpickler that can call nothing but what makes records of tensors."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.dtypes: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if (module, name) in allowed:
            return allowed[module, name]
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise UnmaskError(
            f"holds a {module}.{name}, which is more than tensors and is not read; save its state_dict alone"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        _kind, dtype, key = pid[:3]
        self.dtypes[str(key)] = str(dtype)
        return _Storage(str(key), str(dtype))


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: _Tensor, *_: object) -> _Tensor:
    return tensor


def _materialized(tensor: _Tensor, storages: Mapping[str, bytes]) -> npt.NDArray[Any]:
    numbers = np.frombuffer(storages[tensor.storage.key], tensor.storage.dtype)
    contiguous = tuple(math.prod(tensor.shape[i + 1 :]) for i in range(len(tensor.shape)))
    if tensor.strides != contiguous:
        raise ValueError("a tensor whose numbers do not lie in a row")
    return numbers[tensor.offset :][: math.prod(tensor.shape)].reshape(tensor.shape)
