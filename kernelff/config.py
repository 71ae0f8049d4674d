"""Settings of a fit from a TOML file.

    [data]                  # where the labels are and how they are written, see io.LabelKeys
    energy_key = "REF_energy"
    stress_factor = -0.000624151

    [model]                 # parameters of SparseGPR
    n_sparse = 1000         # or "auto", or "all" environments
    sigma_forces = 0.05
    e0 = { Si = -0.79 }
                            # or those of MTP, which has its descriptor inside:
    kind = "mtp"
    level = 20
    cutoff = 5.0

    [config_sigmas.surface] # noise of one config_type
    energy = 0.01

    [soap]                  # parameters of SOAP
    cutoff = 5.0

    [symmetry_functions]    # in place of SOAP; parameters of SymmetryFunctions, or the lists of an input.nn:
    input_nn = "input.nn"
    length_unit = "bohr"

    [pairs]                 # adds a PairDistances descriptor; parameters of PairDistances

    [dftd3]                 # fits on top of DFT-D3 dispersion; parameters of DFTD3
    method = "PBE"

Every table and every key may be left out.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from kernelff.baselines.dispersion import DFTD3
from kernelff.descriptors import SOAP, PairDistances, SymmetryFunctions
from kernelff.io.input_nn import read_input_nn
from kernelff.io.label_keys import LabelKeys
from kernelff.io.safe_file import write_whole
from kernelff.models import MTP, SparseGPR

KINDS = {"gap": SparseGPR, "mtp": MTP}
_NUMBER_OR_WORD = ("n_sparse", "n_channels")
_ELSEWHERE = ("descriptors", "baseline", "config_sigmas")  # parameters that have a table of their own
_OF_GAP = ("soap", "symmetry_functions", "pairs")


def parameters_of(kind):
    """Parameters of a class with their defaults, name -> value."""
    return {name: entry.default for name, entry in inspect.signature(kind).parameters.items()}


def model_keys(kind):
    """Keys of the table [model] for one kind of model, with their defaults.

    Parameters
    ----------
    kind : {"gap", "mtp"}

    Returns
    -------
    dict
    """
    own = {name: value for name, value in parameters_of(KINDS[kind]).items() if name not in _ELSEWHERE}
    return {"kind": kind} | own


def _known_keys(kind):
    """The keys of each table with their defaults, asked of the objects they belong to."""
    return {
        "data": parameters_of(LabelKeys),
        "model": model_keys(kind),
        "config_sigmas": None,  # names of the user's groups
        "soap": parameters_of(SOAP),
        "symmetry_functions": _symmetry_parameters(),
        "pairs": parameters_of(PairDistances),
        "dftd3": parameters_of(DFTD3),
    }


def _symmetry_parameters():
    grid = {name: value for name, value in parameters_of(SymmetryFunctions).items() if name != "functions"}
    return grid | {"input_nn": "", "length_unit": ""}


@dataclass(frozen=True)
class FitConfig:
    """Settings of a fit; empty tables mean the defaults.

    Attributes
    ----------
    data, model, config_sigmas, soap : dict
    symmetry_functions, pairs, dftd3 : dict or None
        None leaves them, the pair descriptor, or dispersion, out.
    """

    data: dict = field(default_factory=dict)
    model: dict = field(default_factory=dict)
    config_sigmas: dict = field(default_factory=dict)
    soap: dict = field(default_factory=dict)
    symmetry_functions: dict | None = None
    pairs: dict | None = None
    dftd3: dict | None = None

    @property
    def kind(self):
        """Which kind of model: "gap" or "mtp"."""
        return self.model.get("kind", "gap")

    def updated(self, **tables):
        """A copy with some values replaced; None values change nothing.

        Parameters
        ----------
        **tables : dict
            Table name -> {key: value}.

        Returns
        -------
        FitConfig
        """
        merged = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name, values in tables.items():
            given = {key: value for key, value in values.items() if value is not None}
            if given:
                merged[name] = {**(merged[name] or {}), **given}
        return FitConfig(**merged)

    def label_keys(self):
        """Names and conventions of the labels, as LabelKeys."""
        return LabelKeys(**self.data)

    def make_model(self):
        """The unfitted SparseGPR or MTP."""
        if self.kind == "mtp":
            return MTP(**self._common())
        descriptors = [self._environments()]
        if self.pairs is not None:
            descriptors.append(_made(PairDistances, "pairs", self.pairs))
        chosen = descriptors[0] if len(descriptors) == 1 else descriptors
        return SparseGPR(chosen, **self._common())

    def _common(self):
        """Parameters that every kind of model has, and those of [model]."""
        baseline = None if self.dftd3 is None else _made(DFTD3, "dftd3", self.dftd3)
        own = {name: value for name, value in _spelt(self.model).items() if name != "kind"}
        return own | {"config_sigmas": self.config_sigmas or None, "baseline": baseline}

    def _environments(self):
        if self.symmetry_functions is None:
            return SOAP(**_spelt(self.soap))
        if self.soap:
            raise ValueError("[soap] and [symmetry_functions]: give one of them, or add descriptors from Python")
        values = dict(self.symmetry_functions)
        if "input_nn" not in values:
            return SymmetryFunctions(**values)
        path = values.pop("input_nn")
        if set(values) != {"length_unit"}:
            raise ValueError(
                '[symmetry_functions] input_nn: needs length_unit ("bohr" or "angstrom") and nothing else, '
                f"got {', '.join(sorted(values)) or 'nothing'}"
            )
        return read_input_nn(path, **values)


def _spelt(values):
    """Values with None where TOML, which has none, says "all"."""

    def spelt(value):
        return [spelt(entry) for entry in value] if isinstance(value, list) else None if value == "all" else value

    return {key: spelt(value) if key in _NUMBER_OR_WORD else value for key, value in values.items()}


def _made(kind, table, values):
    """An object of the values of a table, which must hold those that have no default."""
    missing = [name for name, default in parameters_of(kind).items() if default is inspect.Parameter.empty]
    missing = [name for name in missing if name not in values]
    if missing:
        raise ValueError(f"[{table}] must have {', '.join(missing)}; {kind.__name__} has no default for it")
    return kind(**values)


def default_settings(settings, table):
    """One table of the settings with the defaults of what it leaves out, name -> value."""
    return _known_keys(settings.kind)[table] | getattr(settings, table)


def read_config(path, kind=None):
    """Read settings from a TOML file.

    Parameters
    ----------
    path : path-like
    kind : {"gap", "mtp"}, optional
        In place of the kind that the file names.

    Returns
    -------
    FitConfig

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no TOML, or holds a table or key that does not exist; the nearest one is named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        tables = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: this is not valid TOML: {error}") from None
    known = _known_keys("gap")
    _refuse_unknown(tables, known, f"{path}: there is no table", "tables")
    for name, values in tables.items():
        if not isinstance(values, dict):
            raise ValueError(f"{path}: {name} must be a table; write [{name}] on its own line")
    kind = kind or tables.get("model", {}).get("kind", "gap")
    if kind not in KINDS:
        raise ValueError(f"{path}: [model] kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    known["model"] = model_keys(kind)
    _refuse_other_kinds(tables, kind, path)
    for name, values in tables.items():
        if known[name] is not None:
            _refuse_unknown(values, known[name], f"{path}: [{name}] has no key", "keys")
            _refuse_wrong_types(values, known[name], f"{path}: [{name}]")
    settings = FitConfig(**tables)
    return settings if settings.kind == kind else settings.updated(model={"kind": kind})


def _refuse_other_kinds(tables, kind, path):
    """Tables and keys of another kind of model."""
    for table in _OF_GAP:
        if kind != "gap" and table in tables:
            raise ValueError(
                f"{path}: [{table}] belongs to a GAP, an {kind.upper()} has its own descriptor; take it out"
            )
    own = model_keys(kind)
    for other in KINDS:
        for key in tables.get("model", {}):
            if key not in own and key in model_keys(other):
                raise ValueError(f"{path}: [model] {key} belongs to kind = {other!r}, not to {kind!r}; take it out")


def write_config(path, settings, comment=""):
    """Write settings as a TOML file that `read_config` reads.

    Parameters
    ----------
    path : path-like
        Written whole or not at all.
    settings : FitConfig
    comment : str
        Lines for the top of the file.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    for entry in fields(settings):
        table = getattr(settings, entry.name)
        if table or (table is not None and entry.name in ("pairs", "symmetry_functions")):
            lines += ["", f"[{entry.name}]"]
            lines += [f"{_toml_key(key)} = {_toml(value)}" for key, value in table.items() if value is not None]
    write_whole(path, ("\n".join(lines).lstrip("\n") + "\n").encode())


def _toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _toml_key(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)


def _refuse_unknown(given, known, message, what):
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"the {what} are: {', '.join(sorted(known))}"
            raise ValueError(f"{message} {key!r}; {hint}")


def _refuse_wrong_types(given, defaults, where):
    """Values must be of the kind of the default; the objects check the rest themselves."""
    for key, value in given.items():
        default = defaults[key]
        if key in _NUMBER_OR_WORD:
            entries = value if isinstance(value, list) else [value]
            kind, fits = 'a number, "auto" or "all"', all(_is_number(e) or e in ("auto", "all") for e in entries)
        elif isinstance(default, bool):
            kind, fits = "true or false", isinstance(value, bool)
        elif isinstance(default, (int, float)):
            numbers = value if isinstance(value, list) else [value]
            kind, fits = "a number", all(_is_number(entry) for entry in numbers)
        elif isinstance(default, str) or key.endswith("_key"):
            kind, fits = "a text in quotes", isinstance(value, str)
        else:
            continue
        if not fits:
            raise ValueError(f"{where} {key} must be {kind}, got {value!r}")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)
