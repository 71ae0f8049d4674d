"""The descriptor line of a gap.xml: ``soap l_max=8 species_Z={14 6} ...``, and what of it is supported."""

import re

from kernelff.io.gap_document import fortran_float, fortran_floats, fortran_int, fortran_logical

_TOKEN = re.compile(r"""(\w+)\s*=\s*("[^"]*"|'[^']*'|\{(?:[^{}]|\{[^{}]*\})*\}|\S+)|([^\s=]+)""")
_KNOWN = ("soap", "distance_2b")

# key -> value that changes nothing; any other value is refused by name
_REFUSED = {
    "soap": {
        "average": False, "diagonal_radial": False, "radial_basis": "EQUISPACED_GAUSS", "nu_r": 2, "nu_s": 2,
        "r_mix": False, "z_mix": False, "sym_mix": False, "mix_shift": 0, "coupling": True, "k": 0, "z_map": None,
    },
    "distance_2b": {"only_intra": False, "only_inter": False, "resid_name": None},
}  # fmt: skip


class Options:
    """Keys and values of one descriptor line, keys in lower case.

    Parameters
    ----------
    text : str

    Raises
    ------
    ValueError
        For descriptors and options that are not supported, by name.
    """

    def __init__(self, text):
        self.values, flags = {}, []
        for key, value, flag in _TOKEN.findall(text):
            if flag:
                flags.append(flag)
            else:
                self.values[key.lower()] = _bare(value)
        self.kind = flags[0] if flags else ""
        if self.kind not in _KNOWN:
            raise ValueError(
                f"gap.xml: the descriptor {self.kind!r} is not supported; kernelff reads {' and '.join(_KNOWN)}. Run "
                "this potential with QUIP, or fit a new model to its training set."
            )
        self.values |= {flag.lower(): "T" for flag in flags[1:]}  # a bare key switches a logical on
        self._refuse_unsupported()

    def _refuse_unsupported(self):
        for key, default in _REFUSED[self.kind].items():
            value = self.values.get(key)
            if value is None or _same(value, default, key):
                continue
            raise ValueError(
                f"gap.xml: the option {key}={value} of {self.kind} is not supported. Run this potential with QUIP, or "
                "fit a new model to its training set."
            )

    def number(self, *names, default=None):
        """The value under the first of `names` that is there, as a float."""
        for name in names:
            if name in self.values:
                return fortran_float(self.values[name], name)
        return self._default(names, default)

    def integer(self, name, default=None):
        """The value under `name` as an int."""
        return fortran_int(self.values[name], name) if name in self.values else self._default((name,), default)

    def logical(self, *names, default):
        """The value under the first of `names` that is there, as a bool."""
        for name in names:
            if name in self.values:
                return fortran_logical(self.values[name], name)
        return default

    def numbers(self, name, count, count_name, default):
        """A list of `count` numbers, ``{14 6}``."""
        if name not in self.values:
            if count == len(default):
                return default
            raise ValueError(f"gap.xml: the descriptor has {count_name}={count} but no {name}. The file is incomplete.")
        values = fortran_floats(self.values[name].replace(",", " "), name).tolist()
        if len(values) != count:
            raise ValueError(
                f"gap.xml: {name} has {len(values)} values, {count_name} says {count}. The file is inconsistent; copy "
                "it again."
            )
        return values

    def species(self, name, count_name):
        """A list of atomic numbers; (0,), any element, if there is none."""
        values = self.numbers(name, self.integer(count_name, 1), count_name, [0])
        if any(z != int(z) or not 0 <= z <= 118 for z in values) or len(set(values)) < len(values):
            raise ValueError(f"gap.xml: {name}={values} are not different atomic numbers.")
        return tuple(int(z) for z in values)

    def _default(self, names, default):
        if default is None:
            raise ValueError(f"gap.xml: the descriptor {self.kind} has no {names[0]}. The file is incomplete.")
        return default


def _bare(value):
    """Without quotes or braces."""
    while len(value) > 1 and value[0] + value[-1] in ('""', "''", "{}"):
        value = value[1:-1].strip()
    return value


def _same(value, default, key):
    if isinstance(default, bool):
        return fortran_logical(value, key) == default
    if isinstance(default, int):
        return fortran_float(value, key) == default
    return default is not None and value.upper() == default
