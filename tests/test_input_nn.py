"""Symmetry functions from input.nn files of n2p2 and RuNNer."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr

import kernelff as kff

WATER = """
# GENERAL NNP SETTINGS
number_of_elements 2
elements H O                  # Specification of elements.
cutoff_type 2 0.0             # tanh^3
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 2
symfunction_short H 2 H 0.001 0.0 12.0     # radial H H
symfunction_short H 2 O 0.03  0.5 10.0
symfunction_short H  3  O  H  0.2  -1.0 1.0  12.00000
symfunction_short O 9 H H 0.07 1.0 4 12.0 0.4
symfunction_short O 12 0.02 0.1 12.0
symfunction_short O 13 0.02 0.1 -1.0 2.0 12.0
#symfunction_short O 20 H 0.0 12.0 p2
"""


def write(tmp_path, text):
    path = tmp_path / "input.nn"
    path.write_text(text)
    return path


def test_all_types_and_units(tmp_path):
    found = kff.read_input_nn(write(tmp_path, WATER), length_unit="bohr")
    assert found.cutoff_function == "tanh3" and found.cutoff == pytest.approx(12.0 * Bohr)
    hydrogen, oxygen = found.functions[1], found.functions[8]
    rc = 12.0 * Bohr
    assert hydrogen == [
        kff.G2(0.001 / Bohr**2, 0.0, 1, rc),
        kff.G2(0.03 * Bohr**-2, 0.5 * Bohr, 8, 10.0 * Bohr),
        kff.G4(0.2 * Bohr**-2, 1.0, -1.0, (8, 1), cutoff=rc),
    ]
    assert oxygen == [
        kff.G5(0.07 * Bohr**-2, 4.0, 1.0, (1, 1), 0.4 * Bohr, rc),
        kff.W2(0.02 * Bohr**-2, 0.1 * Bohr, rc),
        kff.W4(0.02 * Bohr**-2, 2.0, -1.0, 0.1 * Bohr, rc),
    ]
    plain = kff.read_input_nn(write(tmp_path, WATER), length_unit="angstrom")
    assert plain.functions[1][1] == kff.G2(0.03, 0.5, 8, 10.0)


def test_values_do_not_depend_on_the_unit(tmp_path):
    """A molecule given in bohr with a file in bohr, and the same numbers taken for angstroms."""
    atoms = Atoms("OHH", [[0, 0, 0], [1.81, 0, 0], [-0.45, 1.75, 0]])
    found = []
    for unit, size in (("angstrom", 1.0), ("bohr", Bohr)):
        descriptor = kff.read_input_nn(write(tmp_path, WATER), length_unit=unit).build((1, 8))
        scaled = Atoms(atoms.numbers, atoms.positions * size)
        found.append(descriptor.compute(kff.NeighborList.from_atoms(scaled, descriptor.cutoff)))
    np.testing.assert_allclose(*found, rtol=1e-10)
    assert (found[0] != 0).sum() == 3 * 3


def test_plain_parameters_keep_the_list(tmp_path):
    found = kff.read_input_nn(write(tmp_path, WATER), length_unit="bohr")
    again = kff.SymmetryFunctions(**json.loads(json.dumps(found.plain_parameters())))
    assert again.build((1, 8)).functions == found.build((1, 8)).functions


GOOD = "cutoff_type 1\nsymfunction_short H 2 H 0.1 0.0 6.0\n"
BROKEN = {
    "cutoff_type 1\n": "holds no symfunction_short line",
    "": "holds no symfunction_short line",
    "symfunction_short H 2 H 0.1 0.0 6.0\n": "holds no cutoff_type. Add 'cutoff_type 1'",
    "cutoff_type 6\n": "line 1: cutoff_type 6 is not supported, only 1",
    "cutoff_type\n": "line 1: cutoff_type  is not supported",
    "cutoff_type 1 0.5\n": "line 1: cutoff_type 1 0.5: an inner cutoff",
    "cutoff_type 1 x\n": "line 1: 'x' is no number",
    GOOD + "symfunction_short H\n": "line 3: symfunction_short needs a central element",
    GOOD
    + "symfunction_short H 2 H 0.1 0.0\n": "line 3: symfunction_short of type 2 needs 'element eta r_s cutoff', got",
    GOOD + "symfunction_short H 2 H 0.1 0.0 6.0 7.0\n": "line 3: symfunction_short of type 2 needs",
    GOOD + "symfunction_short H 3 H H 0.1 1.0 1.0\n": "line 3: symfunction_short of type 3 needs",
    GOOD + "symfunction_short H 20 H 0.0 6.0 p2\n": "line 3: symfunction_short of type 20 is not supported, only 2, 3",
    GOOD + "symfunction_short H x\n": "line 3: symfunction_short of type x is not supported",
    GOOD + "symfunction_short Hx 2 H 0.1 0.0 6.0\n": "line 3: neighbour: 'Hx' is no element",
    GOOD + "symfunction_short H 2 Hx 0.1 0.0 6.0\n": "line 3: neighbour: 'Hx' is no element",
    GOOD + "symfunction_short H 2 H 0.1 zero 6.0\n": "line 3: 'zero' is no number",
    GOOD + "symfunction_short H 2 H nan 0.0 6.0\n": "line 3: G2 eta: must be",
    GOOD + "symfunction_short H 2 H 0.1 0.0 -6.0\n": "line 3: G2 cutoff: must be",
    GOOD + "symfunction_short H 2 H 0.1 0.0 inf\n": "line 3: G2 cutoff: must be",
    GOOD + "symfunction_short H 3 H H 0.1 2.0 1.0 6.0\n": "line 3: G4 lambda_: must be",
    GOOD + "symfunction_short H 3 H H 0.1 1.0 0.0 6.0\n": "line 3: G4 zeta: must be",
    GOOD + "global_symfunction_short 2 0.1 0.0 6.0\n": "line 3: global_symfunction_short is not supported",
}


@pytest.mark.parametrize(("text", "message"), BROKEN.items(), ids=range(len(BROKEN)))
def test_malformed_files_are_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("^", r"\^")):
        kff.read_input_nn(write(tmp_path, text), length_unit="angstrom")


def test_damaged_files_never_give_anything_but_a_value_error(tmp_path):
    rng = np.random.default_rng(0)
    clean = WATER.encode()
    for _ in range(200):
        damaged = bytearray(clean)
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        path = tmp_path / "input.nn"
        path.write_bytes(bytes(damaged[: rng.integers(1, len(damaged) + 1)]))
        try:
            kff.read_input_nn(path, length_unit="bohr").build((1, 8))
        except ValueError as error:
            assert str(error)


def test_unit_and_file_must_be_there(tmp_path):
    with pytest.raises(ValueError, match=r"length_unit: must be one of .*'bohr'.*, got 'nm'"):
        kff.read_input_nn(write(tmp_path, GOOD), length_unit="nm")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        kff.read_input_nn(tmp_path / "none.nn", length_unit="bohr")
