"""Forces that do not belong to their positions: of another frame, order, sign or unit."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

LEAST_FRAMES = 20
LEAST_FORCE = 0.2  # of the typical one, for labels and predictions; small forces may point anywhere
ALIKE, UNLIKE = 0.9, 0.4  # cosine between labels and what the other frames predict; sound data 0.8 to 1.0
UNLEARNABLE = 0.85, 1.3  # share of the forces that the other frames do not explain; beyond, they are too different
SURE_FRAMES = 30  # to say so
SCALED = 10.0  # forces larger or smaller than predicted by this factor, at a cosine above ALIKE
FAINTEST = 100.0  # factor by which labels of a wrong unit may be too small
RARE = 4.0  # distance to the most similar frame over the typical one
SURE = 3.0  # times the typical left-out residual in error bars


def contradictory_forces(data, model, fit):
    """Frames whose forces contradict what all other frames say about theirs.

    Parameters
    ----------
    data : DataSet
    model : CrudeModel
    fit : Fit

    Returns
    -------
    list of Finding
    """
    unexplained, strong = unexplained_share(model, fit)
    if UNLEARNABLE[0] < unexplained < UNLEARNABLE[1] and strong.sum() >= max(SURE_FRAMES, len(strong) / 2):
        return _unlearnable(data, model.indices[strong], unexplained)
    judged = _Compared.of(model, fit)
    if judged is None or np.median(judged.cosine[judged.telling]) < ALIKE:
        return []
    flipped = judged.sure & (judged.cosine < -ALIKE + 0.1)
    scaled = judged.sure_of_size & (judged.cosine > ALIKE) & (np.abs(np.log(judged.ratio)) > np.log(SCALED))
    # frames of a kind of their own may be predicted that badly: without companions nothing is said of them
    strange = judged.sure & (judged.cosine < UNLIKE) & ~flipped & (model.rarity() < RARE)
    findings = []
    if flipped.any():
        findings.append(data.finding(
            "error", "flipped forces", "the forces of {frames} have the opposite sign of what the other frames predict",
            "turn their sign; forces_factor=-1 (--forces-factor -1) turns that of all frames",
            model.indices[flipped],
        ))  # fmt: skip
    if scaled.any():
        typical = float(np.median(judged.ratio[scaled]))
        findings.append(data.finding(
            "error", "scaled forces",
            f"the forces of {{frames}} are {typical:.3g} times what the other frames predict: in another unit?",
            f"multiply them by {1 / typical:.3g} (0.0194 and 51.4 tell hartree/bohr from eV/Å, 0.529 and 1.89 Å from "
            "bohr), or drop these frames", model.indices[scaled],
        ))  # fmt: skip
    if strange.any():
        findings.append(_strange(data, model, judged, strange))
    return findings


def unexplained_share(model, fit):
    """How much of the forces of a typical frame the other frames do not explain, and which frames tell.

    Parameters
    ----------
    model : CrudeModel
    fit : Fit

    Returns
    -------
    share : float
        0.02 to 0.2 in sound data, 1 where forces and positions have nothing to do with each other; NaN where
        too few frames have forces that symmetry does not forbid.
    strong : ndarray of bool
        These frames.
    """
    size = np.array([np.linalg.norm(row.force_labels) for row in model.rows])
    root = np.sqrt([max(len(row.force_labels), 1) for row in model.rows])
    strong = size > LEAST_FORCE * model.scale * root
    if strong.sum() < LEAST_FRAMES:
        return np.nan, strong
    left = np.array([np.linalg.norm(one.forces) for one in fit.judged])
    return float(np.median(left[strong] / size[strong])), strong


class _Compared:
    """Labels beside predictions of the left-out frames: cosine, ratio, and whether they say anything."""

    def __init__(self, labels, predictions, odd, telling, faint):
        self.labels, self.predictions, self.telling = labels, predictions, telling
        self.sure, self.sure_of_size = odd & telling, odd & (telling | faint)
        dot = np.array([x @ y for x, y in zip(labels, predictions, strict=True)])
        length, other = (np.array([np.linalg.norm(x) for x in xs]) + 1e-30 for xs in (labels, predictions))
        self.cosine, self.ratio = dot / (length * other), length / other

    @classmethod
    def of(cls, model, fit):
        """None where too few frames have forces that symmetry does not forbid."""
        labels = [row.force_labels for row in model.rows]
        predictions = [label - one.forces for label, one in zip(labels, fit.judged, strict=True)]
        sizes = np.array([[np.sqrt(np.mean(x**2)) if len(x) else 0.0 for x in xs] for xs in (labels, predictions)])
        telling = (sizes > LEAST_FORCE * model.scale).all(axis=0)
        if telling.sum() < LEAST_FRAMES:
            return None
        z = np.array([one.forces_z for one in fit.judged])
        # labels in hartree/bohr are small beside those in eV/Å
        faint = (sizes[1] > LEAST_FORCE * model.scale) & (sizes[0] > LEAST_FORCE * model.scale / FAINTEST)
        return cls(labels, predictions, z > SURE * np.nanmedian(z), telling, faint)


def _unlearnable(data, frames, share):
    return [data.finding(
        "warning", "forces against positions",
        "the forces of most frames have nothing to do with what the other frames predict "
        f"({100 * share:.0f} % of them stay unexplained)",
        "check that forces and positions are of the same frames and in the same order of atoms, and that forces_key "
        "(--forces-key) names the forces; a handful of very different frames look so too", frames,
    )]  # fmt: skip


def _strange(data, model, judged, strange):
    """Say of which frame the forces are, or that they are of other atoms, if either explains them."""
    stories = []
    for a in np.flatnonzero(strange):
        label = judged.labels[a]
        others = [b for b in np.flatnonzero(judged.telling) if b != a and len(judged.labels[b]) == len(label)]
        cosines = [_cosine(label, judged.predictions[b]) for b in others]
        if cosines and max(cosines) > ALIKE:
            stories.append(f"frame {model.indices[a]} has those of frame {model.indices[others[np.argmax(cosines)]]}")
        elif _permuted(label.reshape(-1, 3), judged.predictions[a].reshape(-1, 3)) > ALIKE:
            stories.append(f"frame {model.indices[a]} has its own in another order of atoms")
    story = f" ({'; '.join(stories[:3]).replace('; ', ', ')}{', ...' if len(stories) > 3 else ''})" if stories else ""
    return data.finding(
        "error", "foreign forces",
        f"the forces of {{frames}} do not go with their positions{story}",
        "put the right forces to the frames (were some left over from an earlier step?), or drop these frames",
        model.indices[strange],
    )  # fmt: skip


def _cosine(x, y):
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y) + 1e-300))


def _permuted(labels, predictions):
    """Cosine in the order of atoms that fits best."""
    rows, columns = linear_sum_assignment(-labels @ predictions.T)
    return _cosine(labels[rows].ravel(), predictions[columns].ravel())
