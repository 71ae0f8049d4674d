"""Options of a command and the tables of settings they belong to."""

from kernelff.config import KINDS, model_keys, parameters_of
from kernelff.descriptors import SOAP

_SPELT = {"random_state": "seed", "n_jobs": "jobs"}  # options that are not named as the parameter


def model_tables(kind, options):
    """Options of a command sorted into the tables of a FitConfig.

    Parameters
    ----------
    kind : {"gap", "mtp"}
    options : dict
        Name of a parameter -> value; None where it was not given.

    Returns
    -------
    dict
        Table -> {name: value}.

    Raises
    ------
    ValueError
        For an option of the other kind of model.
    """
    environments = parameters_of(SOAP)
    tables = {"model": {"kind": kind if kind != "gap" else None}, "soap": {}}
    for name, value in options.items():
        if name in model_keys(kind):
            tables["model"][name] = value
        elif kind == "gap" and name in environments:
            tables["soap"][name] = value
        elif value is not None:
            spelt = _SPELT.get(name, name).replace("_", "-")
            others = " or ".join(other for other in KINDS if other != kind)
            raise ValueError(f"--{spelt} belongs to --model {others}, not to --model {kind}; leave it out")
    return tables
