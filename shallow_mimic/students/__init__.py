"""Stage: the family of shallow students, and the artefact of one."""

from shallow_mimic.students.members import make_members
from shallow_mimic.students.search import read_rates, write_search
from shallow_mimic.students.train import read_student, write_students

__all__ = [
    'make_members', 'read_rates', 'read_student', 'write_search',
    'write_students',
]
