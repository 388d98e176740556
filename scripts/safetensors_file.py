"""Reads and writes the safetensors format: 8 bytes of header length, a JSON header, the tensors."""

import contextlib
import json
import os
import struct

import numpy as np
import torch

TO_NAME = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int32: "I32",
    torch.uint8: "U8",
}
TO_NUMPY = {"F32": "<f4", "F16": "<f2"}


@contextlib.contextmanager
def replaced(path, mode="wb"):
    """A file that takes the place of `path` when it is whole: it is written beside it, and renamed."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


def write(path, tensors, metadata=None):
    """tensors: name -> tensor of a type in TO_NAME, written in this order; metadata: name -> text."""
    header: dict[str, dict] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    blobs, at = [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        # numpy has no bfloat16: its bits travel as int16.
        bits = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
        blob = bits.numpy().tobytes()
        header[name] = {
            "dtype": TO_NAME[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(blob)],
        }
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replaced(path) as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def _header(path, file):
    """The header of an open file, which then stands at its data. Raises ValueError where the file isn't
    whole."""
    size = os.fstat(file.fileno()).st_size
    length = struct.unpack("<Q", file.read(8))[0] if size >= 8 else size
    if 8 + length <= size:
        header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + max(ends, default=0) == size:
            return header
    raise ValueError(f"{path} is not a whole safetensors file: make it anew")


def metadata(path):
    """name -> text of a file that is whole."""
    with open(path, "rb") as file:
        return _header(path, file).get("__metadata__", {})


def shapes(path):
    """name -> shape of each tensor of a file that is whole."""
    with open(path, "rb") as file:
        return {name: entry["shape"] for name, entry in _header(path, file).items() if name != "__metadata__"}


def rows(path, name, first, count):
    """Rows first to first + count of a float32 tensor; the rest isn't read."""
    with open(path, "rb") as file:
        entry = _header(path, file)[name]
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is {entry['dtype']}, not F32")
        shape = [min(count, entry["shape"][0] - first), *entry["shape"][1:]]
        row = 4 * int(np.prod(shape[1:]))
        file.seek(entry["data_offsets"][0] + first * row, os.SEEK_CUR)
        values = np.frombuffer(file.read(shape[0] * row), "<f4")
    return torch.from_numpy(values.reshape(shape).copy())


def read(path):
    """name -> float32 tensor, whatever the storage type."""
    with open(path, "rb") as file:
        header = _header(path, file)
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, last = entry["data_offsets"]
        if entry["dtype"] == "BF16":  # the upper halves of float32
            values = (np.frombuffer(data[first:last], "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data[first:last], TO_NUMPY[entry["dtype"]]).astype(np.float32)
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return tensors
