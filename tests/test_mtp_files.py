"""MLIP's .mtp files: values of motep, read-write-read, and files that are damaged."""

import json
import re
from pathlib import Path

import checks
import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

import kernelff as kff
from kernelff.cli import app
from kernelff.descriptors.moment_file import file_program
from kernelff.io.model_file import write_potential
from kernelff.terms import BasisTerm

DATA = Path(__file__).parent / "data"
# level 8, two types, own random coefficients on MLIP's standard tables
FILE = DATA / "two_types.mtp"
TEXT = FILE.read_text()
# by motep 0.2.0 (engine cext) from that file, types 0 and 1 being Si and C; frames of the next file
MOTEP = {
    "sic_dimer": (
        [3.376213120236942, 2.034499791904649],
        [[-0.012724835839627885, 0.02544967167925577, -0.11134231359674396],
         [0.012724835839627885, -0.02544967167925577, 0.11134231359674396]],
        None,
    ),
    "si2_skew": (
        [3.2598837738893, 3.2598837738893],
        [[0.1777179555644274, 0.17953461820819697, 0.08894767554519617],
         [-0.1777179555644274, -0.17953461820819697, -0.08894767554519617]],
        [0.007691776501209338, 0.0028283797206819904, -0.0005611564932076623,
         0.00449027885158787, 0.0002787538794262116, -0.003175612372452464],
    ),
}  # fmt: skip
STRUCTURES = json.loads((DATA / "moment_tensors_motep.json").read_text())["structures"]


def structure(name):
    given = STRUCTURES[name]
    return Atoms(given["numbers"], given["positions"], cell=given["cell"], pbc=given["pbc"])


def agree(found, expected, tolerance=1e-12):
    """Two potentials on frames of both elements."""
    for name in MOTEP:
        one, other = (potential.compute(structure(name)) for potential in (found, expected))
        checks.close(one.energies, other.energies, tolerance, name)
        checks.close(one.forces, other.forces, tolerance, name)


def edited(tmp_path, *changes, text=TEXT):
    """The file with regular expressions replaced."""
    for pattern, new in changes:
        text, n = re.subn(pattern, lambda _, new=new: new, text, count=1)
        assert n == 1, pattern
    path = tmp_path / "edited.mtp"
    path.write_text(text)
    return path


def own_potential(level=10, species=(14, 6), seed=0):
    """A potential on our own moments, radial functions and weights at random."""
    rng = np.random.default_rng(seed)
    built = kff.MomentTensors(level, 4.5, radial_basis_size=6).build(species, 2.0)
    c = built.coefficients * rng.uniform(0.5, 1.5, built.coefficients.shape)
    term = BasisTerm(built.with_coefficients(c))
    return kff.Potential([term], rng.normal(size=term.n_functions), dict.fromkeys(species, -1.5) | {6: 2.25})


# ---- reading and writing --------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOTEP)
def test_a_file_agrees_with_motep(name):
    energies, forces, stress = MOTEP[name]
    found = kff.load(FILE, species=["Si", "C"]).compute(structure(name))
    checks.close(found.energy, sum(energies), 1e-12, "energy")
    checks.close(found.energies, energies, 1e-12, "energies")
    checks.close(found.forces, forces, 1e-11, "forces")
    if stress is not None:
        checks.close(found.stress, stress, 1e-11, "stress")


def test_types_are_in_the_order_of_species():
    one, other = kff.read_mtp(FILE, [14, 6]), kff.read_mtp(FILE, [6, 14])
    dimer = structure("sic_dimer")
    swapped = Atoms("CSi", dimer.positions)
    assert one.e0 == {6: 2.137172667436241, 14: 3.269536885203364} and one.species == (6, 14)
    assert one.compute(dimer).energy == pytest.approx(other.compute(swapped).energy, rel=1e-14)
    checks.close(one.compute(dimer).energies, other.compute(dimer).energies[::-1], 1e-14, "swapped")
    assert np.abs(one.compute(dimer).energies - other.compute(dimer).energies).max() > 1.0


def test_read_write_read(tmp_path):
    potential = kff.read_mtp(FILE, [14, 6])
    assert kff.write_mtp(potential, tmp_path / "again.mtp") == (14, 6)
    agree(kff.load(tmp_path / "again.mtp", species=[14, 6]), potential)
    texts = [path.read_text().replace("1.1.0", "") for path in (FILE, tmp_path / "again.mtp")]
    numbers = [list(map(float, re.findall(r"-?[0-9.]+(?:e[-+][0-9]+)?", text))) for text in texts]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("level", [2, 10, 16])
def test_our_own_moments_are_written(tmp_path, level):
    potential = own_potential(level)
    assert kff.write_mtp(potential, tmp_path / "own.mtp") == (6, 14)
    agree(kff.load(tmp_path / "own.mtp", species=[6, 14]), potential)


def test_model_files_hold_such_potentials(tmp_path):
    for potential in (kff.read_mtp(FILE, [14, 6]), own_potential()):
        write_potential(tmp_path / "model.kff", potential, "0")
        again = kff.load(tmp_path / "model.kff")
        agree(again, potential, 0.0)
        kff.write_mtp(again, tmp_path / "again.mtp")
        types = potential.metadata.get("types", [6, 14])
        agree(kff.load(tmp_path / "again.mtp", species=types), potential)
    with pytest.raises(ValueError, match=r"holds no fit. Use load\(path\)"):
        kff.load_model(tmp_path / "model.kff")
    with pytest.raises(ValueError, match=r"Use load\(path\)"):
        kff.load_model(FILE)


def test_other_ways_to_write_a_file(tmp_path):
    """Aliases, no scaling, lists over several lines, something behind that is not read, unused radial functions."""
    expected = kff.read_mtp(FILE, [14, 6])
    coefficients = expected.terms[0].descriptor.coefficients * expected.terms[0].descriptor.scaling
    changes = [
        ("min_dist", "min_val"), ("max_dist", "max"), ("radial_basis_size", "size"),
        (r"\}, \{0, 1, 0", "},\n\t{0, 1, 0"), ("scaling = .*\n", ""),
        ("radial_funcs_count = 2", "radial_funcs_count = 3"),
    ]  # fmt: skip
    rows = iter(coefficients[::-1, ::-1].reshape(4, 2, 8))  # types 0, 1 are Si, C
    text = re.sub(
        r"(\d-\d)\n.*\n.*\n",
        lambda m: (
            m[1] + "\n" + "".join(f"{{{', '.join(map(repr, row.tolist()))}}}\n" for row in [*next(rows), np.ones(8)])
        ),
        TEXT,
    )
    path = edited(tmp_path, *changes, text=text)
    path.write_bytes(path.read_bytes().rstrip() + b"\n#MVS_v1.1\nenergy_weight 1\n#\xff\x00\x12")
    agree(kff.read_mtp(path.rename(tmp_path / "x.almtp"), [14, 6], selection=False), expected)


def test_products_in_another_order(tmp_path):
    """Nodes that are complete later than ones with a higher number."""
    program = file_program(
        np.array([[0, 0, 0, 0], [1, 0, 0, 0]]),
        np.array([[0, 0, 1, 5], [0, 5, 3, 3], [0, 1, 2, 3], [3, 1, 1, 4]]),
        np.array([4, 0, 5]),
        7,
    )
    assert program.products.tolist() == [[0, 0, 1, 2], [0, 2, 3, 3], [0, 1, 2, 3], [3, 1, 1, 4]]
    assert program.scalars.tolist() == [4, 0, 2]


# ---- what cannot be read or written ---------------------------------------------------------------


DAMAGES = {
    "MTP\n": ("XTP\n", "must begin with a line 'MTP'"),
    "version = 1.1.0": ("version = 2.0", "version = 2.0 is not supported"),
    "potential_tag = ": ("magnetic_basis_type = BChebyshev", "is a magnetic MTP"),
    "RBChebyshev": ("RBTaylor", "only RBChebyshev"),
    "species_count = 2": ("species_count = 3", "radial_coeffs: the pair 0-2 needs 2 lists"),
    "scaling = 1": ("scaling = nan1", "scaling: 'nan1.0"),
    "scaling = .*\n": ("scaling = inf\n", "scaling: 'inf' is no number up to"),
    "min_dist = 1.6": ("min_dist = 5.6", "must be 0 <= min_dist < max_dist"),
    "max_dist = .*\n": ("", "max_dist is missing"),
    "radial_basis_size = 8": ("radial_basis_size = 7", "radial_coeffs: must be a list {..} of 7 numbers, found 8"),
    "radial_funcs_count = 2": ("radial_funcs_count = 99999999999", "must be a whole number"),
    "1-0": ("0-1", "radial_coeffs: the pair 0-1 stands twice"),
    "0-0\n": ("", "stands before a pair of types"),
    "1.154620337446963e-01": ("1.15x", "radial_coeffs: '1.15x' is no number"),
    "alpha_moments_count = 18": ("alpha_moments_count = 17", "alpha_index_times: entry 13, [0, 15, 1, 17]"),
    "alpha_moments_count = 1": ("alpha_moments_count = 99999999", "alpha_moments_count: must be 1 to"),
    "alpha_index_basic_count = 11": ("alpha_index_basic_count = 12", "alpha_index_basic: must be a list of 12 rows"),
    r"\{1, 0, 0, 0\}": ("{2, 0, 0, 0}", "alpha_index_basic: uses 3 radial functions"),
    r"\{0, 2, 0, 0\}": ("{0, 99, 0, 0}", "alpha_index_basic: entry 4"),
    r"\{0, 0, 2, 0\}": ("{0, 0, -2, 0}", "alpha_index_basic: entry 7"),
    r"\{1, 1, 1, 12\}": ("{1, 1, 1}", "alpha_index_times: must be a list of 14 rows"),
    r"\{2, 2, 1, 12\}": ("{2, 2, 1.5, 12}", "alpha_index_times: must be a list of 14 rows"),
    r"\{3, 3, 1, 12\}": ("{3, 3, 1, 3}", "alpha_index_times: entry 3, [3, 3, 1, 3], adds to a basic moment"),
    r"\{0, 0, 1, 11\}": ("{0, 16, 1, 11}", "uses a moment before it is complete"),
    r"\{0, 15, 1, 17\}": ("{17, 15, 1, 17}", "entry 13, [17, 15, 1, 17], uses a moment before it is complete"),
    r"\{4, 4, 1, 13\}": ("{4, 4, 99999999999999999999, 13}", "alpha_index_times"),
    r"\{5, 5, 2, 13\}": ("{5, 5, 9223372036854775807, 13}", "alpha_index_times: entry 5"),
    r"\{6, 6, 2, 13\}": ("{6, 6, -9223372036854775808, 13}", "alpha_index_times: entry 6"),
    r"\{7, 7, 1, 13\}": ("{" * 5000 + "}" * 5000, "alpha_index_times"),
    r"mapping = \{0": ("mapping = {99", "alpha_moment_mapping: entry 0, 99"),
    "alpha_scalar_moments = 9": ("alpha_scalar_moments = 8", "alpha_moment_mapping: must be a list of 8"),
    "species_coeffs = .*\n": ("species_coeffs = {1.0}\n", "species_coeffs: must be a list {..} of 2 numbers, found 1"),
    "moment_coeffs = .*\n": ("moment_coeffs = {}\n", "moment_coeffs: must be a list {..} of 9 numbers, found 0"),
    "species_coeffs": ("scaling", "scaling stands twice"),
    "potential_tag =": ("potential_tag", "cannot read the line 'potential_tag'"),
}


@pytest.mark.parametrize("pattern", DAMAGES)
def test_damaged_files(tmp_path, pattern):
    new, message = DAMAGES[pattern]
    with pytest.raises(ValueError, match=re.escape(message)):
        kff.load(edited(tmp_path, (pattern, new)), species=[14, 6])


def test_truncated_files(tmp_path):
    path = tmp_path / "short.mtp"
    for n in range(0, len(TEXT.rstrip()) - 1, 29):
        path.write_text(TEXT[:n])
        with pytest.raises(ValueError, match=r"short\.mtp"):
            kff.load(path, species=[14, 6])


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "other.mtp"
    for data in (b"", b"\x00\xff" * 1000, b"MTP\n" + b"{" * 100_000, b"MTP\nversion = 1.1.0\n"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"other\.mtp"):
            kff.load(path, species=[14])
    with path.open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(ValueError, match="longer than any MTP"):
        kff.load(path, species=[14])
    untrained = re.sub(r"\tradial_coeffs\n(.*\n)*?alpha", "alpha", TEXT)
    untrained = re.sub(r"(species|moment)_coeffs = .*\n", "", untrained)
    with pytest.raises(ValueError, match="untrained template"):
        kff.load(edited(tmp_path, text=untrained), species=[14, 6])
    with pytest.raises(ValueError, match="there is no file"):
        kff.load(tmp_path / "nothing.mtp", species=[14])
    with pytest.warns(UserWarning, match="'colour' is no field"):
        kff.load(edited(tmp_path, ("scaling", "colour = red\nscaling")), species=[14, 6])


def test_long_products_are_refused():
    times = np.array([[k, k, 1, k + 1] for k in range(10)])
    with pytest.raises(ValueError, match="alpha_index_times: entry 3 has more than 8 factors"):
        file_program(np.zeros((1, 4), dtype=int), times, np.array([10]), 11)


@pytest.mark.parametrize(
    "species", [None, [14], [14, 6, 1], "Si", [14, 14], [14, "Xx"], [14, 0], [14, True], 5.0, [14, 6.0]]
)
def test_species_that_do_not_fit(species):
    with pytest.raises(ValueError, match="species: "):
        kff.load(FILE, species=species)


def test_what_an_mtp_file_cannot_hold(tmp_path):
    potential = own_potential()
    path = tmp_path / "x.mtp"
    with pytest.raises(ValueError, match=r"must be named \*\.mtp"):
        kff.write_mtp(potential, tmp_path / "x.txt")
    based = kff.Potential(potential.terms, potential.weights, potential.e0, baseline=potential)
    with pytest.raises(ValueError, match="adds to a baseline"):
        kff.write_mtp(based, path)
    functions = BasisTerm(kff.SymmetryFunctions({"C": [kff.G2(1.0, 0.0)]}, 4.0).build([6], 1.5))
    with pytest.raises(ValueError, match="linear model on moment tensors"):
        kff.write_mtp(kff.Potential([functions], np.ones(functions.n_functions), {6: 0.0}), path)
    with pytest.raises(ValueError, match="holds covariances, not a linear model"):
        kff.write_gap(tmp_path / "x.xml", potential)
    assert not path.exists()


def test_what_such_a_potential_refuses():
    potential = kff.read_mtp(FILE, [14, 6])
    with pytest.raises(ValueError, match=r"read from an \.mtp file"):
        potential.uncertainty(structure("si2_skew"))
    with pytest.raises(ValueError, match="no sparse set"):
        potential.local_gap_variance(structure("si2_skew"))
    with pytest.raises(ValueError, match="species"):
        potential.compute(Atoms("Cu"))


# ---- commands -------------------------------------------------------------------------------------


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, " ".join(result.output.split())


def test_commands(tmp_path):
    code, output = run("info", FILE)
    assert code == 0 and "0 (e0 3.2695 eV), 1 (e0 2.1372 eV)" in output and "9 functions, 14 products" in output
    model, again = tmp_path / "model.kff", tmp_path / "again.mtp"
    code, output = run("convert", FILE, model, "--species", "Si,C")
    assert code == 0 and "9 basis functions" in output and "no posterior" in output
    code, output = run("info", model)
    assert code == 0 and "C (e0 2.1372 eV), Si (e0 3.2695 eV)" in output and "two_types.mtp, types Si, C" in output
    code, output = run("convert", model, again)
    assert code == 0 and "0 Si, 1 C" in output
    agree(kff.load(again, species=[14, 6]), kff.load(FILE, species=[14, 6]))
    structure("si2_skew").write(tmp_path / "frames.xyz")
    code, output = run("evaluate", again, tmp_path / "frames.xyz", "--species", "14 6")
    assert code == 0, output
    for words, message in (
        (["convert", FILE, model], "holds 2 types without their elements"),
        (["convert", FILE, tmp_path / "x.xml"], "known are"),
        (["convert", model, again, "--species", "Si"], "names its elements itself"),
    ):
        code, output = run(*words)
        assert code == 1 and message in output
