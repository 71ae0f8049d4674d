"""What the Green-Kubo observables share: a few numbers at every sample, temperature and volume beside them."""

import numpy as np

from kernelff.md.observables.correlator import MultipleTau
from kernelff.md.observables.green_kubo import integrate
from kernelff.md.observables.results import ObservableResult, estimate


class FluxSampler:
    """Correlates the components that `numbers(sample)` of the observable gives."""

    needs_virials = False

    def __init__(self, name, n_components, watched):
        watched.require_periodic(name)
        self.name, self.watched = name, watched
        self.correlator, self.means = MultipleTau(n_components), np.zeros(2)  # sums of temperature and volume

    @property
    def n_samples(self):
        return self.correlator.n_samples

    def sample(self, sample):
        self.correlator.add(self.numbers(sample))
        self.means += (sample.temperature(self.watched.freedom), sample.volume)

    def state(self):
        return self.correlator.state() | {"means": self.means}

    def restore(self, arrays):
        self.correlator.restore(arrays)
        self.means = np.array(arrays["means"])

    @property
    def temperature_and_volume(self):
        """Means over the samples, K and Å^3."""
        return self.means / max(self.correlator.n_samples, 1)

    def coefficient(self, value_name, unit, factor, columns):
        """The result for coefficient = factor * integral of the autocorrelation that the components share.

        Parameters
        ----------
        value_name, unit : str
        factor : float
            To `unit` from the square of a component times fs.
        columns : (str, float, str)
            Name of the correlation function, factor to its unit, name of the running integral.
        """
        interval, (name, scale, integral_name) = self.watched.interval, columns
        found = integrate(self.correlator, interval)
        value, error = (factor * x for x in found.value)
        data = {
            "lag_fs": found.lags, name: scale * found.correlation, f"{name}_error": scale * found.correlation_error,
            integral_name: factor * found.running, f"{integral_name}_error": factor * found.running_error,
        }  # fmt: skip
        values = {value_name: estimate(value, error, unit)}
        values["upper limit of the integral"] = estimate(found.limit, np.nan, "fs")
        values["temperature"] = estimate(self.temperature_and_volume[0], np.nan, "K")
        remarks = self._remarks(found)
        return ObservableResult(self.name, values, data, self.correlator.n_samples, interval, remarks)

    def _remarks(self, found):
        remarks = []
        if not np.isfinite(found.limit):
            remarks.append(
                "The run is too short for an integral: take a hundred times what the correlation needs to decay."
            )
        elif not found.settled:
            remarks.append(f"The integral still changes at {found.lags[-1]:.0f} fs, a tenth of the run: run longer.")
        settings = self.watched.settings
        if settings.thermostat == "langevin":
            remarks.append("Langevin's friction changes transport: use 'nve', or 'bussi' with a long thermostat_time.")
        if settings.ramps:
            remarks.append("Temperature or pressure were ramped: there was no equilibrium to fluctuate about.")
        if settings.moves_cell:
            remarks.append(
                "The cell moved, the mean volume is taken: fluxes belong to a fixed cell, use 'nve' or 'nvt'."
            )
        return tuple(remarks)
