"""Reports: one self-contained HTML file with tables and figures."""

from kernelff.report.build import Figure, Section, build_report
from kernelff.report.cells import Table

__all__ = ["Figure", "Section", "Table", "build_report"]
