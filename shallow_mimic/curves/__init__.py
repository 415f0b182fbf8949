"""Stage: records → results.csv, figures, tables and a page."""

from shallow_mimic.curves.report import write_report

__all__ = [
    'write_report',
]
