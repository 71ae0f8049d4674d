"""Reports: one self-contained HTML file with tables and figures."""

from kernelff.report.build import Figure, Section, Table, build_report

__all__ = ["Figure", "Section", "Table", "build_report"]
