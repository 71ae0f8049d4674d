"""Properties of crystals by any ASE calculator, with error bars where a potential has a posterior."""

from kernelff.properties.barriers import Barrier, barrier, vacancy_jump
from kernelff.properties.elastic import ElasticConstants, Stiffness, elastic_constants, stiffness
from kernelff.properties.equation_of_state import EquationOfState, equation_of_state, volume_scan
from kernelff.properties.melting import MeltingPoint, melting_point
from kernelff.properties.overview import PropertyRow, Survey, survey
from kernelff.properties.phonons import Phonons, phonons
from kernelff.properties.point_defects import Vacancy, vacancies, vacancy_energy
from kernelff.properties.relaxation import relax_atoms, relax_crystal, relax_volume, supercell_of
from kernelff.properties.surfaces import Surface, surfaces

__all__ = [
    "Barrier",
    "ElasticConstants",
    "EquationOfState",
    "MeltingPoint",
    "Phonons",
    "PropertyRow",
    "Stiffness",
    "Surface",
    "Survey",
    "Vacancy",
    "barrier",
    "elastic_constants",
    "equation_of_state",
    "melting_point",
    "phonons",
    "relax_atoms",
    "relax_crystal",
    "relax_volume",
    "stiffness",
    "supercell_of",
    "surfaces",
    "survey",
    "vacancies",
    "vacancy_energy",
    "vacancy_jump",
    "volume_scan",
]
