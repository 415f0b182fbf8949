"""Stage: records → results.csv, figures, tables and a page."""

# The list of sections has to be there before a user adds to it.
from shallow_mimic.curves import drawing, sections
from shallow_mimic.curves.report import write_report
from shallow_mimic.curves.section import Context, Section, find_versions
from shallow_mimic.curves.tables import Table

__all__ = [
    'Context', 'Section', 'Table', 'drawing', 'find_versions', 'sections',
    'write_report',
]
