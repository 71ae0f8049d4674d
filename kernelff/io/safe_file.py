"""Checked files of arrays and JSON: safetensors layout, checksum, written whole or not at all."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

_KEY = "kernelff"


def write_checked(path, kind, params, arrays):
    """Write arrays and JSON-able params; on any failure the old file stays as it was.

    Parameters
    ----------
    path : path-like
    kind : str
        What the file is, checked when it is read.
    params : dict
    arrays : dict of str -> ndarray
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {"kind": kind, "params": params, "checksum": _checksum(params, arrays)}
    data = save_tensors(arrays, metadata={_KEY: json.dumps(header)})
    write_whole(path, data)


def write_whole(path, data):
    """Write bytes beside the target, flush them to disk, then replace the target in one step; links stay links.

    Raises
    ------
    ValueError
        If the folder does not exist, or the target is a device or a pipe, which would be replaced by a file.
    """
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise ValueError(f"path: the folder {str(path.parent)!r} does not exist. Make it first.")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"path: {str(path)!r} is a device or a pipe, not a file. Give the name of a file.")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_checked(path, kind):
    """Params and arrays of a file that ``write_checked`` made.

    Raises
    ------
    ValueError
        If the file is no such file, truncated or altered.
    """
    data = Path(path).read_bytes()
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][_KEY])
        arrays = load_tensors(data)
    except (ValueError, KeyError, TypeError, SafetensorError, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} is not a whole kernelff file (it may be truncated): {error}. "
            "Copy it again or fit the model again."
        ) from error
    if header.get("kind") != kind:
        raise ValueError(f"{str(path)!r} is a kernelff {header.get('kind')}, not a {kind}.")
    if header.get("checksum") != _checksum(header["params"], arrays):
        raise ValueError(f"{str(path)!r} was altered: its checksum does not match. Copy it again or fit again.")
    return header["params"], arrays


def _checksum(params, arrays):
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
