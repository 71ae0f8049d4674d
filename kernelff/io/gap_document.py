"""The plain data of a gap.xml file, as QUIP's gap_fit writes it; what it means is told in gap_xml.py.

The file is streamed: published files carry their whole training set, which is
passed over. Document types and entities are refused, nothing is executed and no
file is opened but the sparse points that stand beside the XML.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

_CHUNK = 1 << 20
_TEXTS = ("theta", "descriptor", "permutation", "sparseX", "sparseX_slice", "command_line")


@dataclass
class GapCoordinate:
    """One descriptor with its sparse points, `<gpCoordinates>`.

    Attributes
    ----------
    attributes : dict of str
    theta : list of float
    descriptor : str
    permutations : int
    sparse : dict
        Index from 1 -> (alpha, sparse cutoff, list of text with the point's numbers).
    """

    attributes: dict
    theta: list = field(default_factory=list)
    descriptor: str = ""
    permutations: int = 0
    sparse: dict = field(default_factory=dict)


@dataclass
class GapDocument:
    """What a gap.xml says.

    Attributes
    ----------
    path : Path
    potential : dict of str
        Attributes of `<Potential>`.
    params : dict of str
        Attributes of `<GAP_params>`.
    data : dict of str
        Attributes of `<GAP_data>`.
    e0 : dict
        Atomic number -> eV.
    sparse : dict of str
        Attributes of `<gpSparse>`.
    coordinates : list of GapCoordinate
    command_line : str
        Of gap_fit, as it stands in the file.
    """

    path: Path
    potential: dict = field(default_factory=dict)
    params: dict | None = None
    data: dict = field(default_factory=dict)
    e0: dict = field(default_factory=dict)
    sparse: dict = field(default_factory=dict)
    coordinates: list = field(default_factory=list)
    command_line: str = ""


def read_document(path):
    """Read a gap.xml.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    GapDocument

    Raises
    ------
    ValueError
        If there is no such file, or it is truncated, malformed or no gap.xml.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"path: there is no file {str(path)!r}.")
    handler = _Handler(GapDocument(path))
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                handler.parser.Parse(chunk, False)
            handler.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ValueError(
            f"{str(path)!r} is not whole XML (it may be truncated): {error}. Copy it again from its source."
        ) from error
    except KeyError as error:
        raise ValueError(f"{str(path)!r}: an element lacks its attribute {error}. Copy it again.") from error
    if handler.document.params is None:
        raise ValueError(f"{str(path)!r} is no gap.xml: it has no element GAP_params.")
    return handler.document


def fortran_float(text, what):
    """A number as Fortran prints it: ``-.79E+000``, ``1.D0``, ``.5``, ``1.0-100``."""
    text = re.sub(r"(?<=[\d.])([+-]\d{3})$", r"e\1", re.sub("[dDqQ]", "e", text.strip()))
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"gap.xml: {what} is {text!r}, not a number. Copy the file again.") from None


def fortran_floats(text, what):
    """All numbers of a text, as an array."""
    words = text.split()
    try:
        return np.array(words, dtype=float)
    except ValueError:
        return np.array([fortran_float(word, what) for word in words])


def fortran_int(text, what):
    """A whole number; also written as ``2.0``."""
    value = fortran_float(text, what)
    if not value.is_integer():
        raise ValueError(f"gap.xml: {what} is {text!r}, not a whole number. Copy the file again.")
    return int(value)


def fortran_logical(text, what):
    """T or F, as Fortran reads them: ``T``, ``.true.``, ``True``."""
    letter = text.strip().lstrip(".")[:1].upper()
    if letter not in ("T", "F"):
        raise ValueError(f"gap.xml: {what} is {text!r}, not a logical (T or F). Copy the file again.")
    return letter == "T"


def sparse_points(document, coordinate):
    """Sparse points of one descriptor from any of the three storages.

    Returns
    -------
    points : ndarray of shape (n_sparse, dimensions)
    alpha, cutoffs : ndarray of shape (n_sparse,)

    Raises
    ------
    ValueError
        If points are missing, too few or altered.
    """
    attributes, where = coordinate.attributes, str(document.path)
    n = fortran_int(_attribute(coordinate, "n_sparseX"), "n_sparseX")
    d = fortran_int(_attribute(coordinate, "dimensions"), "dimensions")
    if len(coordinate.sparse) != n or any(i not in coordinate.sparse for i in range(1, n + 1)):
        raise ValueError(
            f"{where!r}: {attributes.get('label')!r} announces {n} sparse points but holds {len(coordinate.sparse)} "
            "sparseX elements. The file is incomplete; copy it again."
        )
    rows = [coordinate.sparse[i] for i in range(1, n + 1)]
    if attributes.get("sparseX_filename"):
        numbers = _separate_file(document.path, attributes)
    else:
        numbers = fortran_floats(" ".join(" ".join(text) for _, _, text in rows), "a sparse point")
    if numbers.size != n * d:
        raise ValueError(
            f"{where!r}: {attributes.get('label')!r} needs {n} x {d} = {n * d} numbers for its sparse points, found "
            f"{numbers.size}. The file of sparse points is incomplete or of another model; copy both again."
        )
    alpha, cutoffs = (np.array([row[k] for row in rows]) for k in (0, 1))
    if not (np.isfinite(numbers).all() and np.isfinite(alpha).all() and np.isfinite(cutoffs).all()):
        raise ValueError(
            f"{where!r}: {attributes.get('label')!r} has sparse points or weights that are not finite. Copy it again."
        )
    return numbers.reshape(n, d), alpha, cutoffs


def _attribute(coordinate, name):
    if name not in coordinate.attributes:
        raise ValueError(f"gap.xml: gpCoordinates {coordinate.attributes.get('label')!r} has no attribute {name!r}.")
    return coordinate.attributes[name]


def _separate_file(path, attributes):
    """Numbers of the sparse-point file beside the XML."""
    # the last component only: QUIP too looks in the folder of the XML, whatever path was written
    name = re.split(r"[/\\]", attributes["sparseX_filename"])[-1]
    file = path.parent / name
    if not file.is_file():
        raise ValueError(
            f"{str(path)!r} keeps its sparse points in a separate file {name!r}, which is not in {str(path.parent)!r}. "
            "Copy it there under this very name; it comes with the potential."
        )
    content = file.read_bytes()
    expected = attributes.get("sparseX_md5sum", "").strip().lower()
    if expected and hashlib.md5(content, usedforsecurity=False).hexdigest() != expected:
        raise ValueError(
            f"{str(file)!r} does not have the md5 sum that {path.name!r} gives for it: it was altered or belongs to "
            "another model. Copy both again."
        )
    try:
        return fortran_floats(content.decode("ascii"), f"a sparse point in {name!r}")
    except UnicodeDecodeError:
        raise ValueError(f"{str(file)!r} is not a text file of sparse points. Copy it again.") from None


class _Handler:
    """Collects the elements that matter while expat streams."""

    def __init__(self, document):
        self.document, self.text, self.point = document, None, []
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse_doctype

    def _start(self, name, attributes):
        document = self.document
        self.text = [] if name in _TEXTS else None
        if name == "Potential":
            document.potential = document.potential or attributes
        elif name == "GAP_params":
            if document.params is not None:
                raise ValueError(
                    f"{str(document.path)!r} holds more than one GAP_params. Split it into one file for each."
                )
            document.params = attributes
        elif name == "GAP_data":
            document.data = attributes
        elif name == "e0":
            z = fortran_int(attributes["Z"], "Z of an e0")
            document.e0[z] = fortran_float(attributes["value"], f"e0 of Z = {z}")
        elif name == "gpSparse":
            document.sparse = attributes
        elif name == "gpCoordinates":
            document.coordinates.append(GapCoordinate(attributes))
        elif name == "sparseX" and document.coordinates:
            index = fortran_int(attributes["i"], "i of a sparseX")
            alpha = fortran_float(attributes["alpha"], f"alpha of sparse point {index}")
            cutoff = fortran_float(attributes.get("sparseCutoff", "1"), f"sparseCutoff of sparse point {index}")
            self.point = []
            document.coordinates[-1].sparse[index] = (alpha, cutoff, self.point)

    def _end(self, name):
        if self.text is None or name not in _TEXTS:
            return
        text = "".join(self.text)
        self.text = None
        if name == "command_line":
            self.document.command_line = text.strip()
        elif not self.document.coordinates:
            return
        elif name in ("sparseX", "sparseX_slice"):
            self.point.append(text)  # slices come in order
        elif name == "theta":
            self.document.coordinates[-1].theta = fortran_floats(text, "theta").tolist()
        elif name == "descriptor":
            self.document.coordinates[-1].descriptor = text.strip()
        else:
            self.document.coordinates[-1].permutations += 1

    def _characters(self, text):
        if self.text is not None:
            self.text.append(text)

    def _refuse_doctype(self, *_):
        raise ValueError(
            f"{str(self.document.path)!r} has a document type declaration, which no gap.xml needs. Remove it."
        )
