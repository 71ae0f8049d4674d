"""Files in and out: frames with their labels, and model files."""

from kernelff.io.bundled import silicon_reference, silicon_set
from kernelff.io.frame_checks import check_frames, isolated_atom_energies
from kernelff.io.frames import DataSummary, describe, read_frames, read_raw_frames, with_labels
from kernelff.io.label_keys import LabelKeys, Labels, labels
from kernelff.io.mlip_cfg import read_cfg
from kernelff.io.mlip_cfg_write import write_cfg
from kernelff.io.stress_check import StressCheck, check_stress

__all__ = [
    "DataSummary",
    "LabelKeys",
    "Labels",
    "StressCheck",
    "check_frames",
    "check_stress",
    "describe",
    "isolated_atom_energies",
    "labels",
    "read_cfg",
    "read_frames",
    "read_raw_frames",
    "silicon_reference",
    "silicon_set",
    "with_labels",
    "write_cfg",
]
