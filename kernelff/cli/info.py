"""`kernelff info`: what a model file or a data file holds."""

from pathlib import Path
from typing import Annotated

import typer
from ase.data import chemical_symbols

from kernelff.cli.console import console, guarded
from kernelff.cli.data import TYPES_HELP, examine
from kernelff.cli.tables import file_size, held_out_errors, radial_functions, text_table
from kernelff.io import read_raw_frames
from kernelff.io.finding import refuse
from kernelff.io.model_file import load, read_model
from kernelff.io.mtp import SUFFIXES
from kernelff.io.mtp_document import read_document
from kernelff.report.cells import learning_table, number


@guarded
def info(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Model file (.kff), gap.xml, .mtp, or any file of frames.")],
    species: Annotated[str | None, typer.Option(help=TYPES_HELP)] = None,
):
    """Show what a model file or a data file holds, and check it."""
    if is_model_file(path):
        console.print(text_table(model_rows(path), str(path)))
        return
    diagnosis = examine(read_raw_frames(path, species=species), None, str(path))
    refuse([one for one in diagnosis.findings if one.name != "no labels"], str(path))


def is_model_file(path):
    """Whether a file is, or by its name should be, a model file, a gap.xml or an .mtp file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bool
    """
    path = Path(path)
    if path.suffix in (".kff", ".xml") or path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(24)[8:].startswith(b'{"__metadata__')


def model_rows(path):
    """What a model file, a gap.xml or an .mtp file holds, as pairs of title and text.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of tuple of str
    """
    if Path(path).suffix == ".xml":
        return _potential_rows(*load(path).to_state())
    if Path(path).suffix.lower() in SUFFIXES:
        return _mtp_rows(read_document(path))
    header, arrays, _ = read_model(path)
    rows = [
        ("file", f"{file_size(path)}, format {header['format']}"),
        ("written", f"{header['written']} by kernelff {header['kernelff']}"),
        *_potential_rows(header["potential"], arrays),
    ]
    settings = header["estimator"].get("settings")
    if settings:
        facts = header["potential"]["metadata"]
        noise = {f"sigma {name}": round(sigma, 6) for name, sigma in facts.get("sigmas", {}).items()}
        scales = ", ".join(f"{scale:.3g}" for scale in facts.get("delta_scales", []))
        rows.append(("noise", f"{_listed(noise)}, delta times {scales} ({settings['hyperparameters']})"))
        if facts.get("cv_errors"):
            rows.append(("held-out errors", held_out_errors(facts["cv_errors"])))
        rows += _choice_rows(settings, header["estimator"].get("fitted", {}))
        rows += _fit_rows(facts)
    error_bars = any(name.startswith("posterior") for name in arrays)
    return [*rows, ("error bars", "yes" if error_bars else "no, the file holds no posterior")]


def _mtp_rows(document):
    """What an .mtp file says; it names no elements."""
    e0 = ", ".join(f"{k} (e0 {energy:.4f} eV)" for k, energy in enumerate(document.species_coeffs))
    reach = f"min_dist {document.min_dist:g}, max_dist {document.max_dist:g} Å, scaling {document.scaling:.4g}"
    _, _, n_radial, size = document.radial_coeffs.shape
    rows = [
        ("moment tensor potential", document.name),
        ("types", f"{e0}; their elements are not in the file"),
        ("radial functions", f"{n_radial} of {size} Chebyshev polynomials for each pair of types, {reach}"),
        ("basis", f"{len(document.moment_mapping)} functions, {len(document.index_times)} products"),
        ("error bars", "no, the file holds no posterior"),
    ]
    return rows if document.selection_start is None else [*rows, ("extrapolation grade", "selection state in the file")]


def _potential_rows(potential, arrays):
    described = _described(potential["terms"])
    e0 = {int(z): energy for z, energy in potential["e0"].items() if described is None or int(z) in described}
    species = ", ".join(f"{chemical_symbols[z]} (e0 {energy:.4f} eV)" for z, energy in e0.items())
    rows = [("species", species if len(e0) <= 20 else "any element, all treated alike")]
    for k, term in enumerate(potential["terms"]):
        sparse = sum(len(points) for name, points in arrays.items() if name.startswith(f"terms.{k}.sparse_points"))
        own = {name: value for name, value in term.items() if name not in ("kind", "descriptor", "species")}
        descriptor = term["descriptor"]
        parameters = descriptor.get("parameters") or {name: x for name, x in descriptor.items() if name != "kind"}
        rows.append(("descriptor", f"{descriptor['kind']}: {_listed(parameters)}"))
        if descriptor.get("explained") is not None:
            kept = f"{100 * descriptor['explained']:.2f} % of the variance of the expansion coefficients"
            rows.append(("mixed channels", f"{parameters['n_channels']} channels determine {kept}"))
        if term["kind"] == "basis":
            rows.append(("basis", f"{len(arrays[f'terms.{k}.stds'])} functions, linear"))
            coefficients = arrays.get(f"terms.{k}.descriptor.coefficients")
            rows += [] if coefficients is None else [("radial functions", radial_functions(*coefficients.shape[1:]))]
            continue
        rows.append(("kernel", f"{sparse} sparse environments, {_listed(own)}"))
    if "repulsion" in potential:
        outer = [r for row in potential["repulsion"]["outer"] for r in row]
        reach = " to ".join(dict.fromkeys(f"{r:.2f}" for r in (min(outer), max(outer))))
        rows.append(("repulsion", f"ZBL below {reach} Å, the shortest distances of the data"))
    if "active_set" in potential:
        n_active = int((arrays["active_set.rows"][:, 0] >= 0).sum())
        what = {"neighborhood": "environments", "configuration": "frames"}[potential["active_set"]["mode"]]
        rows.append(("extrapolation grade", f"active set of {n_active} {what}"))
    rows += _baseline_rows(potential)
    facts = potential["metadata"]
    if facts.get("source") == "mtp":
        rows.append(("source", f"{facts['file']}, types {', '.join(chemical_symbols[z] for z in facts['types'])}"))
    elif "source" in facts:
        rows.append(("source", f"{facts['source']} {facts['label']}, gap_version {facts['gap_version']}"))
    return rows


def _baseline_rows(potential):
    if "baseline_data" in potential:
        parameters = {name: value for name, value in potential["baseline_data"].items() if name != "kind"}
        return [("baseline", f"{potential['baseline_data']['kind']}: {_listed(parameters)}")]
    if "baseline_calculator" in potential:
        return [("baseline", f"the ASE calculator {potential['baseline_calculator']}, not in the file")]
    return [("baseline", "another potential, in the file")] if "baseline" in potential else []


def _described(terms):
    """Atomic numbers whose environments the terms describe, None for any element."""
    found = set()
    for term in terms:
        for key in _centre_keys(term):
            found |= set(key) if isinstance(key, (list, tuple)) else {key}
    return None if 0 in found else found


def _centre_keys(term):
    if term["kind"] == "environment":
        return term["species"]
    if term["kind"] == "basis":
        return term["descriptor"]["species"] or [0]
    return [term["descriptor"]["species_pair"] or 0]


def _choice_rows(settings, fitted):
    """How the basis functions were chosen or learnt."""
    if "sparse_method" in settings:
        return [("sparse set", f"chosen by {settings['sparse_method']}, seed {settings['random_state']}")]
    rows = [("regression", settings["regression"])] if "regression" in settings else []
    history = fitted.get("radial_history_")
    if not history:
        return [*rows, ("learning", "none: radial functions as they start")]
    table = learning_table(history)
    stages = ", ".join(f"level {level} in {n} iterations" for level, n, *_ in table.rows)
    ends = [f"{table.groups[1][0]} {table.rows[0][2]} -> {table.rows[-1][3]}"]
    ends += [f"{table.rows[0][4]} -> {table.rows[-1][5]} on validation frames"] * bool(table.rows[0][4])
    return [*rows, ("learning", f"{stages}; rms error of {', '.join(ends)}")]


def _fit_rows(facts):
    rows = [
        ("fitted to", f"{facts['n_frames']} frames, hash {facts['data_hash'][:16]}"),
        ("rank", f"{facts['rank']} directions of the covariance"),
        ("stress offset", f"{facts['stress_offset_GPa']:+.2f} GPa between stress labels and energies"),
    ]
    for name, errors in facts.get("errors", {}).items():
        texts = (f"{row['kind']} {number(row['mae'])} {row['unit']}" for row in errors if row["group"] == "all")
        rows.append((f"errors ({name})", ", ".join(texts) + " (mean absolute)"))
    return rows


def _listed(values):
    return ", ".join(f"{name} {_short(value)}" for name, value in values.items() if value is not None)


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
