"""Published GAPs: agreement with QUIP, the refit of gap_fit's own fits, refusals by name.

The reference models and values in data/gap come from QUIP, see data/make_gap_reference.py.
"""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from checks import check_pair_gradients
from gap_variants import VARIANTS, write_variant

import kernelff as kff
from kernelff.io.gap_document import fortran_float, fortran_floats
from kernelff.io.model_file import write_potential
from kernelff.potential import Potential

GAP = Path(__file__).parent / "data" / "gap"
QUIP = json.loads((GAP / "quip.json").read_text())
MODELS = ("any", "two", "shared", "subset")
# DESIGN section 10; virials, which it does not name, as forces times a few Å
TOLERANCES = {"energy": 2e-8, "energies": 2e-8, "forces": 5e-8, "virial": 1e-7}
pytestmark = pytest.mark.filterwarnings("ignore:atoms. .* get e0 alone")


def frames():
    return {name: Atoms(**values) for name, values in QUIP["structures"].items()}


def copied(name, folder, edit=lambda text: text):
    """A reference model in a folder of its own, its text edited."""
    for file in GAP.glob(f"{name}.xml*"):
        (folder / file.name).write_bytes(file.read_bytes())
    path = folder / f"{name}.xml"
    text = edit(path.read_text())
    path.write_text(text)
    return path


def replaced(old, new):
    def edit(text):
        assert old in text
        return text.replace(old, new)

    return edit


def same(one, other):
    for atoms in frames().values():
        for a, b in zip(one.compute(atoms)[:4], other.compute(atoms)[:4], strict=True):
            np.testing.assert_array_equal(a, b)


# ---- agreement with QUIP --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MODELS, *VARIANTS])
def test_energies_forces_virials_are_quips(name, tmp_path):
    path = write_variant(GAP, name, tmp_path) if name in VARIANTS else GAP / f"{name}.xml"
    potential = kff.load(path)
    strongest = 0.0
    for key, atoms in frames().items():
        found, expected = potential.compute(atoms), QUIP["values"][name][key]
        for kind, tolerance in TOLERANCES.items():
            np.testing.assert_allclose(getattr(found, kind), expected[kind], rtol=0, atol=tolerance, err_msg=key)
        strongest = max(strongest, np.abs(expected["forces"]).max())
    assert strongest > 0.05, "the reference is trivial"


@pytest.mark.parametrize("name", [n for n in (*MODELS, *VARIANTS) if n != "shared_cutoffs"])
def test_local_gap_variance_is_quips(name, tmp_path):
    path = write_variant(GAP, name, tmp_path) if name in VARIANTS else GAP / f"{name}.xml"
    potential = kff.load(path)
    for key, atoms in frames().items():
        expected = QUIP["values"][name][key]["local_gap_variance"]
        if expected is None:
            with pytest.raises(ValueError, match="QUIP stops there too"):
                potential.local_gap_variance(atoms)
        else:
            np.testing.assert_allclose(potential.local_gap_variance(atoms), expected, rtol=1e-9, atol=1e-9)


def test_variance_grows_with_its_regularisation():
    potential, atoms = kff.load(GAP / "any.xml"), frames()["copper"]
    small, large = (potential.local_gap_variance(atoms, regularisation=g) for g in (1e-3, 1e-1))
    assert (large > small).all()
    with pytest.raises(ValueError, match="regularisation"):
        potential.local_gap_variance(atoms, regularisation=0.0)


def test_variance_with_cutoffs_in_soap_is_refused(tmp_path):
    potential = kff.load(write_variant(GAP, "shared_cutoffs", tmp_path))
    with pytest.raises(ValueError, match="sparseCutoff"):
        potential.local_gap_variance(frames()["copper"])


def test_old_and_new_versions_differ(tmp_path):
    new = kff.load(GAP / "two.xml").compute(frames()["alloy"]).energy
    for name in ("two_degrees", "two_centres"):
        old = kff.load(write_variant(GAP, name, tmp_path)).compute(frames()["alloy"]).energy
        assert abs(old - new) > 1e-3


def test_soaps_of_one_element_each_become_one_term():
    terms = kff.load(GAP / "two.xml").terms
    assert [type(term).__name__ for term in terms].count("EnvironmentTerm") == 1
    assert list(terms[-1].sparse_points) == [29, 47]
    assert list(kff.load(GAP / "shared.xml").terms[0].sparse_points) == [(29, 47)]


def test_ignored_neighbours_might_as_well_not_be_there():
    alloy = frames()["alloy"]
    descriptor = kff.SOAP(3.9, 3, 2, scaling_radius=2.0).build([29], ignore_others=True)
    copper = alloy[alloy.numbers == 29]
    found = descriptor.compute(kff.NeighborList.from_atoms(alloy, 3.9))[alloy.numbers == 29]
    np.testing.assert_allclose(found, descriptor.compute(kff.NeighborList.from_atoms(copper, 3.9)), atol=1e-13)
    check_pair_gradients(descriptor, alloy)  # with centres that have no channel of their own


# ---- what stands around it ------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_potential_survives_as_plain_data(name):
    potential = kff.load(GAP / f"{name}.xml")
    params, arrays = potential.to_state()
    again = Potential.from_state(json.loads(json.dumps(params)), {key: array.copy() for key, array in arrays.items()})
    same(potential, again)
    if name != "two":
        atoms = frames()["alloy"]
        np.testing.assert_array_equal(potential.local_gap_variance(atoms), again.local_gap_variance(atoms))


def test_model_file_holds_it(tmp_path):
    potential = kff.load(GAP / "shared.xml")
    write_potential(tmp_path / "shared.kff", potential, "0")
    same(kff.load(tmp_path / "shared.kff"), potential)
    with pytest.raises(ValueError, match=r"converted from a gap\.xml"):
        kff.load_model(tmp_path / "shared.kff")
    with pytest.raises(ValueError, match=r"Use load\(path\)"):
        kff.load_model(GAP / "shared.xml")


def test_no_error_bars_without_a_posterior():
    potential, atoms = kff.load(GAP / "any.xml"), frames()["copper"]
    with pytest.raises(ValueError, match=r"does not hold the posterior.*local_gap_variance"):
        potential.uncertainty(atoms)
    with pytest.raises(ValueError, match="local_gap_variance"):
        potential.calculator(uncertainty=True)


def test_calculator_gives_the_energy():
    atoms = frames()["copper"]
    atoms.calc = kff.load(GAP / "any.xml").calculator()
    assert abs(atoms.get_potential_energy() - QUIP["values"]["any"]["copper"]["energy"]) < 2e-8


@pytest.mark.filterwarnings("default")
def test_elements_without_environments_are_told():
    potential = kff.load(GAP / "two.xml")
    assert potential.species == (29, 47)
    with pytest.warns(UserWarning, match="Ni get e0 alone"):
        potential.compute(frames()["cluster"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        potential.compute(frames()["alloy"])
        kff.load(GAP / "any.xml").compute(frames()["cluster"])


# ---- storages and forms of the text ---------------------------------------------------------------


def in_the_xml(folder, write_point):
    """Edit that moves the sparse points of `any` from their files into the XML."""

    def edit(text):
        for k in (1, 2):
            numbers = (folder / f"any.xml.sparseX.GAP_any{k}").read_text().split()
            (folder / f"any.xml.sparseX.GAP_any{k}").unlink()
            block = re.search(rf'<gpCoordinates label="GAP_any{k}".*?</gpCoordinates>', text, re.DOTALL)[0]
            n = int(re.search(r'n_sparseX="(\d+)"', block)[1])
            new = re.sub(r' sparseX_\w+="[^"]*"', "", block)
            for i, point in enumerate(np.array(numbers).reshape(n, -1), start=1):
                new = re.sub(
                    rf'<sparseX i="{i}" ([^>]*)/>',
                    lambda found, p=point, i=i: write_point(f'i="{i}" {found[1]}', list(p)),
                    new,
                )
            text = text.replace(block, new)
        return text

    return edit


def as_text(attributes, point):
    return f"<sparseX {attributes}>{' '.join(point)}</sparseX>"


def as_slices(attributes, point, length=20):
    slices = "".join(
        f'<sparseX_slice start="{a + 1}" end="{min(a + length, len(point))}">\n{" ".join(point[a : a + length])}'
        "</sparseX_slice>\n"
        for a in range(0, len(point), length)
    )
    return f'<sparseX {attributes} sliced="T">\n{slices}</sparseX>'


@pytest.mark.parametrize("write_point", [as_text, as_slices])
def test_all_storages_are_the_same(write_point, tmp_path):
    path = copied("any", tmp_path, in_the_xml(tmp_path, write_point))
    assert [file.name for file in tmp_path.iterdir()] == ["any.xml"]
    same(kff.load(path), kff.load(GAP / "any.xml"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</GAP_params>", "<XYZ_data> 4 Lattice= &lt;&amp; 1 2 3 </XYZ_data><XYZ_data/></GAP_params>"),
        (' sparseX_md5sum="', ' other="'),
        ("do_core", "do_kore"),
        ('label="GAP_any" gap_version', 'gap_version'),
        (' sparseX_filename="any', ' sparseX_filename="/home/someone/models/any'),
        ("cutoff=4.0", "cutoff={4.0d0}"),
        ("cutoff=4.0", 'cutoff = "+.4E+001"'),
        ("zeta=2 ", "zeta=7 average=F normalise radial_basis=EQUISPACED_GAUSS nu_R=2 "),
        ("add_species=F", "Z1=0 Z2=0 species_Z={0} n_species=1 add_species=F"),
        (" n_max=3", " n_max=3.0"),
    ],
)  # fmt: skip
def test_forms_that_mean_the_same(old, new, tmp_path):
    same(kff.load(copied("any", tmp_path, replaced(old, new))), kff.load(GAP / "any.xml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("-.79E+000", -0.79), (".5", 0.5), ("1.D0", 1.0), ("2.5d-03", 0.0025), ("1.0-100", 1e-100), ("-3", -3.0)],
)
def test_fortran_numbers(text, value):
    assert fortran_float(text, "x") == value
    assert fortran_floats(f" {text}\n{text} ", "x").tolist() == [value, value]


# ---- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('do_core="F"', 'do_core="T"', "do_core=T"),
        ("IP GAP label", "Sum init_args_pot1={IP Glue}", "init_args="),
        ("soap n_max", "angle_3b n_max", "'angle_3b' is not supported"),
        ("soap n_max", "soap_turbo n_max", "'soap_turbo' is not supported"),
        ("zeta=2 ", "average=T ", "average=T"),
        ("zeta=2 ", "average ", "average=T"),
        ("zeta=2 ", "diagonal_radial=T ", "diagonal_radial"),
        ("zeta=2 ", "radial_basis=GTO ", "radial_basis=GTO"),
        ("zeta=2 ", "nu_R=1 ", "nu_r=1"),
        ("zeta=2 ", "nu_S=0 ", "nu_s=0"),
        ("zeta=2 ", "R_mix=T ", "r_mix"),
        ("zeta=2 ", "Z_mix=T ", "z_mix"),
        ("zeta=2 ", "sym_mix=T ", "sym_mix"),
        ("zeta=2 ", "coupling=F ", "coupling=F"),
        ("zeta=2 ", "K=3 ", "k=3"),
        ("zeta=2 ", "Z_map={29 47} ", "z_map"),
        ("zeta=2 ", "n_species=2 species_Z={0 29} ", "mixes 0"),
        ("zeta=2 ", "n_species=2 ", "n_species=2 but no species_z"),
        ("zeta=2 ", "n_Z=2 Z=29 ", "z has 1 values, n_z says 2"),
        ("zeta=2 ", "Z=290 ", "not different atomic numbers"),
        ("zeta=2 ", "cutoff_dexp=4 cutoff_rate=0 ", "cutoff_rate=0"),
        ("zeta=2 ", "covariance_sigma0=0.2 ", "covariance_sigma0"),
        ("theta_uniform", "only_intra=T theta_uniform", "only_intra=T"),
        ("theta_uniform", "n_exponents=2 exponents={1 2} theta_uniform", "2 exponents"),
        ('covariance_type="2"', 'covariance_type="1"', "ARD_SE"),
        ('covariance_type="1"', 'covariance_type="3"', "BOND_REAL_SPACE"),
        ('covariance_type="1"', 'covariance_type="4"', "PP"),
        ('n_permutations="1"', 'n_permutations="2"', "n_permutations=2"),
        ('sparsified="T"', 'sparsified="F"', "sparsified=F"),
        ("l_max=2", "l_max=3", "dimensions=19"),
        ("l_max=2", "", "no l_max"),
        ("l_max=2", "l_max=two", "l_max is 'two'"),
        ('n_coordinate="2"', 'n_coordinate="3"', "announces 3 descriptors"),
        ('n_sparseX="8"', 'n_sparseX="9"', "announces 9 sparse points"),
        ('gap_version="', 'gap_version="x', "gap_version"),
        ('signal_variance="1.5', 'signal_variance="-1.5', "signal_variance"),
        (' Z="29"', "", "lacks its attribute 'Z'"),
        ('sparseCutoff="', 'sparseCutoff="NaN" was="', "not finite"),
        ("<GAP_any>", "<!DOCTYPE x [<!ENTITY a 'b'>]><GAP_any>", "document type"),
        ("GAP_params", "GUP_params", "no element GAP_params"),
    ],
)
def test_unsupported_and_broken_files_are_refused_by_name(old, new, message, tmp_path):
    path = copied("any", tmp_path, replaced(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        kff.load(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.6, 0.8, 0.95, 0.999])
def test_truncated_xml_is_refused(share, tmp_path):
    path = copied("two", tmp_path, lambda text: text[: int(share * len(text.rstrip()))])
    with pytest.raises(ValueError, match="truncated"):
        kff.load(path)


def test_missing_sparse_points_are_named(tmp_path):
    path = copied("any", tmp_path)
    (tmp_path / "any.xml.sparseX.GAP_any2").unlink()
    with pytest.raises(ValueError, match=r"'any.xml.sparseX.GAP_any2', which is not in"):
        kff.load(path)
    with pytest.raises(ValueError, match="there is no file"):
        kff.load(tmp_path / "absent.xml")


def test_altered_sparse_points_are_refused(tmp_path):
    path, points = copied("any", tmp_path), tmp_path / "any.xml.sparseX.GAP_any1"
    content = points.read_text()
    points.write_text(content.replace("1", "2", 1))
    with pytest.raises(ValueError, match="md5"):
        kff.load(path)
    path.write_text(re.sub(r'sparseX_md5sum="\w+"', "", path.read_text()))
    for broken, message in ((content[:80], "numbers"), (content + "x", "'x', not a number"), ("é" + content, "text")):
        points.write_text(broken)
        with pytest.raises(ValueError, match=message):
            kff.load(path)


# ---- the refit test -------------------------------------------------------------------------------


class FixedTerms(kff.SparseGPR):
    """A fit on basis functions that are given."""

    def _make_terms(self, frames):
        return self.fixed


def training_frames(name):
    """The frames that gap_fit was given."""
    frames = []
    for atoms in read(GAP / f"{name}.xyz", ":"):
        stress = -np.reshape(atoms.info["dft_virial"], (3, 3)) / atoms.get_volume()
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        labels = {"energy": atoms.info["dft_energy"], "forces": atoms.arrays["dft_force"]}
        bare.calc = SinglePointCalculator(bare, **labels, stress=stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])
        frames.append(bare)
    return frames


@pytest.mark.parametrize(("name", "data"), [("any", "one"), ("two", "two"), ("shared", "two"), ("subset", "two")])
def test_our_fit_is_gap_fits(name, data):
    """Its sparse points, sigmas, e0 and jitter give its predictions: 1e-6 eV per atom and 1e-5 eV/Å at most."""
    published, train = kff.load(GAP / f"{name}.xml"), training_frames(data)
    e0 = {z: published.e0[z] for atoms in train for z in set(atoms.numbers.tolist())}
    model = FixedTerms(
        sigma_energy=0.004, sigma_forces=0.04, sigma_virial=0.03, e0=e0, jitter=1e-8, stress_offset=False,
        calibrate=False, n_jobs=1,
    )  # fmt: skip
    model.fixed = list(published.terms)
    model.fit(train)
    for atoms in train:
        ours, theirs = model.potential_.compute(atoms), published.compute(atoms)
        assert abs(ours.energy - theirs.energy) < 1e-6 * len(atoms)
        np.testing.assert_allclose(ours.forces, theirs.forces, rtol=0, atol=1e-5)


# ---- writing --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    descriptors = [
        kff.SOAP(4.0, 3, 2, radial_basis="quip", scaling_exponent=0, cutoff_width=0.8),
        kff.PairDistances(4.5, 1.0),
        kff.PairDistances(3.9, 0.7, (29, 47)),
    ]
    settings = {"n_sparse": [12, 6, 5], "delta": [1.0, 0.5, 0.3], "e0": {"Cu": -0.3, "Ag": 0.1}, "zbl": False}
    return kff.SparseGPR(descriptors, **settings, calibrate=False, n_jobs=1).fit(training_frames("two"))


def test_written_model_reads_back_the_same(model, tmp_path):
    kff.write_gap(tmp_path / "ours.xml", model)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["ours.xml", *(f"ours.xml.sparseX.GAP_kernelff{k}" for k in (1, 2, 3, 4))]
    again = kff.load(tmp_path / "ours.xml")
    for key in ("copper", "alloy", "skewed", "atom"):
        ours, theirs = model.potential_.compute(frames()[key]), again.compute(frames()[key])
        assert abs(ours.energy - theirs.energy) < 1e-9
        np.testing.assert_allclose(ours.forces, theirs.forces, rtol=0, atol=1e-9)


def test_whole_scaling_exponent_is_written(tmp_path):
    soap = kff.SOAP(4.0, 3, 2, radial_basis="quip", scaling_exponent=4)
    model = kff.SparseGPR(soap, n_sparse=12, n_jobs=1, e0={"Cu": 0, "Ag": 0}, zbl=False, calibrate=False).fit(
        training_frames("two")
    )
    kff.write_gap(tmp_path / "scaled.xml", model)
    atoms = frames()["alloy"]
    assert abs(kff.load(tmp_path / "scaled.xml").compute(atoms).energy - model.potential_.compute(atoms).energy) < 1e-9


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"radial_basis": "gto"}, "radial_basis"), ({"scaling_exponent": 2.5}, "scaling_exponent")],
)
def test_what_quip_does_not_know_is_not_written(settings, message, tmp_path):
    soap = kff.SOAP(4.0, 2, 1, **{"radial_basis": "quip", "scaling_exponent": 0, **settings})
    model = kff.SparseGPR(soap, n_sparse=4, n_jobs=1, e0={"Cu": 0, "Ag": 0}, calibrate=False).fit(
        training_frames("two")[:2]
    )
    with pytest.raises(ValueError, match=message):
        kff.write_gap(tmp_path / "x.xml", model)
    assert list(tmp_path.iterdir()) == []


def test_other_refusals_of_writing(model, tmp_path):
    with pytest.raises(ValueError, match="Copy that file"):
        kff.write_gap(tmp_path / "x.xml", kff.load(GAP / "any.xml"))
    with pytest.raises(ValueError, match=r"\*\.xml"):
        kff.write_gap(tmp_path / "x.gap", model)
    based = Potential(model.potential_.terms, model.potential_.weights, model.potential_.e0, baseline=model.potential_)
    with pytest.raises(ValueError, match="baseline"):
        kff.write_gap(tmp_path / "x.xml", based)
