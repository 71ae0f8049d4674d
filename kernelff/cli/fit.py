"""`kernelff fit`: from a file of labelled frames to a model file."""

import time
import warnings
from pathlib import Path
from typing import Annotated

import typer

from kernelff.checks import SettingsWarning
from kernelff.cli.console import check_writable, console, fail, guarded, note
from kernelff.cli.data import TYPES_HELP, load_frames
from kernelff.cli.options import model_tables
from kernelff.cli.tables import basis_of, chosen_hyperparameters, file_size, held_out_errors, rich_table, text_table
from kernelff.config import KINDS, FitConfig, read_config
from kernelff.io.checks.dataset import DataSet
from kernelff.io.checks.repeats import shared
from kernelff.report.cells import error_table, learning_table

_DATA, _OUT = "Labels in the data", "Output"
_MODEL, _GAP, _MTP = "Model", "Model: gap only", "Model: mtp only"


@guarded
def fit(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="Training frames: extxyz, or whatever ASE reads.")],
    test: Annotated[Path | None, typer.Option(help="Frames to test on.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings; options given here win.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="gap (sparse Gaussian process, the default) or mtp (moment tensor potential)."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file to write.", rich_help_panel=_OUT)] = Path(
        "model.kff"
    ),
    report: Annotated[Path | None, typer.Option(help="Also write an HTML report.", rich_help_panel=_OUT)] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Leave error bars out of the file.", rich_help_panel=_OUT)
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Where a stopped fit keeps its work [OUTPUT.checkpoint].", rich_help_panel=_OUT),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Threads; -1 for all cores.")] = None,
    cutoff: Annotated[float | None, typer.Option(help="How far an atom sees, Å.", rich_help_panel=_MODEL)] = None,
    level: Annotated[
        int | None, typer.Option(help="Level of the moments, even, 2 to 28.", rich_help_panel=_MTP)
    ] = None,
    regression: Annotated[
        str | None, typer.Option(help="How the weights are fitted: ridge, ard, lasso.", rich_help_panel=_MTP)
    ] = None,
    n_sparse: Annotated[int | None, typer.Option(help="Sparse environments.", rich_help_panel=_GAP)] = None,
    n_max: Annotated[int | None, typer.Option(help="Radial functions.", rich_help_panel=_GAP)] = None,
    n_channels: Annotated[
        int | None,
        typer.Option(help="Mix elements and radial functions into so many channels.", rich_help_panel=_GAP),
    ] = None,
    l_max: Annotated[int | None, typer.Option(help="Largest angular degree.", rich_help_panel=_GAP)] = None,
    atom_sigma: Annotated[float | None, typer.Option(help="Width of an atom, Å.", rich_help_panel=_GAP)] = None,
    zeta: Annotated[float | None, typer.Option(help="Kernel exponent.", rich_help_panel=_GAP)] = None,
    delta: Annotated[
        float | None, typer.Option(help="Prior amplitude: of a GAP eV, of an MTP eV/Å.", rich_help_panel=_MODEL)
    ] = None,
    hyperparameters: Annotated[
        str | None,
        typer.Option(help="How sigmas and delta are chosen: cv, evidence, fixed.", rich_help_panel=_MODEL),
    ] = None,
    sigma_energy: Annotated[
        float | None, typer.Option(help="Noise of energies, eV per atom.", rich_help_panel=_MODEL)
    ] = None,
    sigma_forces: Annotated[float | None, typer.Option(help="Noise of forces, eV/Å.", rich_help_panel=_MODEL)] = None,
    sigma_virial: Annotated[
        float | None, typer.Option(help="Noise of virials, eV per atom.", rich_help_panel=_MODEL)
    ] = None,
    dftd3: Annotated[
        str | None,
        typer.Option(help="Fit on top of DFT-D3 dispersion of this functional, e.g. PBE.", rich_help_panel=_MODEL),
    ] = None,
    sparse_method: Annotated[
        str | None,
        typer.Option(help="How sparse points are chosen: cur, fps, random.", rich_help_panel=_GAP),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the choice of sparse points.", rich_help_panel=_GAP)] = None,
    energy_key: Annotated[str | None, typer.Option(help="Name of the energies.", rich_help_panel=_DATA)] = None,
    forces_key: Annotated[str | None, typer.Option(help="Name of the forces.", rich_help_panel=_DATA)] = None,
    stress_key: Annotated[str | None, typer.Option(help="Name of the stresses.", rich_help_panel=_DATA)] = None,
    virial_key: Annotated[str | None, typer.Option(help="Name of the virials.", rich_help_panel=_DATA)] = None,
    energy_factor: Annotated[
        float | None, typer.Option(help="Multiplies energies, to eV.", rich_help_panel=_DATA)
    ] = None,
    forces_factor: Annotated[
        float | None, typer.Option(help="Multiplies forces, to eV/Å.", rich_help_panel=_DATA)
    ] = None,
    stress_factor: Annotated[
        float | None,
        typer.Option(help="Multiplies stresses, to eV/Å^3 in ASE's sign.", rich_help_panel=_DATA),
    ] = None,
    stress_order: Annotated[
        str | None,
        typer.Option(help="Order of written stresses, e.g. 'xx yy zz xy yz xz'.", rich_help_panel=_DATA),
    ] = None,
    no_stress: Annotated[
        bool, typer.Option("--no-stress", help="Ignore stresses and virials.", rich_help_panel=_DATA)
    ] = False,
    species: Annotated[str | None, typer.Option(help=TYPES_HELP, rich_help_panel=_DATA)] = None,
    trust_labels: Annotated[
        bool,
        typer.Option("--trust-labels", help="Do not ask a crude model if labels go together.", rich_help_panel=_DATA),
    ] = False,
):
    """Fit a sparse Gaussian process (GAP) or a moment tensor potential (MTP) to DFT data and write a model file."""
    kind = _checked_kind(model)
    settings = read_config(config, kind) if config else FitConfig()
    settings = settings.updated(
        data={
            "energy_key": energy_key,
            "forces_key": forces_key,
            "stress_key": stress_key,
            "virial_key": virial_key,
            "energy_factor": energy_factor,
            "forces_factor": forces_factor,
            "stress_factor": stress_factor,
            "stress_order": stress_order,
            "species": species,
            "use_stress": False if no_stress else None,
        },
        dftd3={"method": dftd3},
        **model_tables(
            kind or settings.kind,
            {
                "cutoff": cutoff,
                "level": level,
                "regression": regression,
                "n_sparse": n_sparse,
                "n_max": n_max,
                "n_channels": n_channels,
                "l_max": l_max,
                "atom_sigma": atom_sigma,
                "zeta": zeta,
                "delta": delta,
                "sigma_energy": sigma_energy,
                "sigma_forces": sigma_forces,
                "sigma_virial": sigma_virial,
                "hyperparameters": hyperparameters,
                "sparse_method": sparse_method,
                "random_state": seed,
                "n_jobs": jobs,
            },
        ),
    )
    for path in filter(None, (output, report, checkpoint)):
        check_writable(path)
    keys = settings.label_keys()
    asked = {"trust": trust_labels, "e0": settings.model.get("e0")}
    sets = {"train": load_frames(data, keys, "training frames", **asked)}
    if test is not None:
        sets["test"] = load_frames(test, keys, "test frames", **asked)
        warn_of_shared_frames(sets)
    estimator = settings.make_model()
    run_fit(estimator, sets["train"], checkpoint or output.with_name(output.name + ".checkpoint"))
    evaluations = evaluate_sets(estimator, sets, uncertainty=report is not None)
    console.print()
    console.print(rich_table(error_table(evaluations)))
    estimator.potential_.metadata["errors"] = {name: found.errors() for name, found in evaluations.items()}
    estimator.save(output, compact=compact)
    console.print(f"\nModel written to [bold]{output}[/] ({file_size(output)})")
    if report is not None:
        from kernelff.cli.info import model_rows
        from kernelff.report.maps import environment_maps
        from kernelff.report.standard import fit_report

        title, maps = f"Force field of {data.name}", environment_maps(estimator.potential_, sets, evaluations)
        fit_report(report, title, model_rows(output), estimator, sets, evaluations, maps)
        console.print(f"Report written to [bold]{report}[/]")


def _checked_kind(model):
    """The kind of model of --model, None where it was not given."""
    if model is None or model.lower() in KINDS:
        return model and model.lower()
    raise ValueError(
        f"--model {model}: give {' or '.join(KINDS)}; the file to write is named by --output, as in -o m.kff"
    )


def run_fit(estimator, frames, checkpoint=None):
    """Forecast, then fit with a progress bar; on Ctrl-C say how to go on.

    Parameters
    ----------
    estimator : SparseGPR or MTP
        Fitted in place.
    frames : list of ase.Atoms
    checkpoint : Path, optional
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # shown already, with the data
        with console.status("forecasting time and memory"):
            forecast = estimator.forecast(frames)
        console.print(f"\nForecast: {forecast}")
        resumed = checkpoint is not None and checkpoint.exists()
        if resumed:
            console.print(f"Going on from {checkpoint}")
        start = time.perf_counter()
        warnings.simplefilter("always", SettingsWarning)
        try:
            estimator.fit(frames, checkpoint=checkpoint, progress=True)
        except KeyboardInterrupt:
            kept = checkpoint is not None and checkpoint.exists()
            remedy = f"the work so far is kept in {checkpoint}; the same command goes on from there"
            fail(f"stopped; {remedy if kept else 'nothing was written yet'}", code=130)
    console.print(f"Fitted in {time.perf_counter() - start:.1f} s: {basis_of(estimator)}, rank {estimator.rank_}")
    history = getattr(estimator, "radial_history_", None)
    if history:
        console.print(rich_table(learning_table(history)))
    for mixing in filter(None, (getattr(term.descriptor, "mixing", None) for term in estimator.potential_.terms)):
        console.print(
            f"{mixing.matrices.shape[1]} mixed channels determine {100 * mixing.explained:.2f} % of the variance of "
            "the expansion coefficients."
        )
    if estimator.search_:
        how = "held-out errors" if estimator.hyperparameters == "cv" else "evidence"
        console.print(text_table(chosen_hyperparameters(estimator), f"Chosen by {how}"))
    elif estimator.cv_errors_:
        console.print(f"Errors on held-out frames: {held_out_errors(estimator.cv_errors_)}")
    if abs(estimator.stress_offset_) > 0.3:
        console.print(
            f"The stress labels differ from the energies by a constant {estimator.stress_offset_:+.2f} GPa; "
            "the model follows the energies."
        )


def warn_of_shared_frames(sets):
    """Say how many test frames are copies of training frames: their errors prove nothing.

    Parameters
    ----------
    sets : dict
        "train", "test" -> frames.
    """
    for found in shared(DataSet.of(sets["test"]), DataSet.of(sets["train"])):
        note(str(found))


def evaluate_sets(estimator, sets, uncertainty):
    """Evaluate several sets of frames under a progress line.

    Parameters
    ----------
    estimator : SparseGPR or MTP
    sets : dict
        Name -> frames.
    uncertainty : bool

    Returns
    -------
    dict
        Name -> Evaluation.
    """
    found = {}
    for name, frames in sets.items():
        with console.status(f"evaluating {name} frames"):
            found[name] = estimator.evaluate(frames, uncertainty=uncertainty)
    return found
