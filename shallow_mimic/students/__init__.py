"""Stage: the family of shallow students, and the artefact of one."""

from shallow_mimic.students.members import (
    find_taught,
    make_members,
    rank_teachers,
)
from shallow_mimic.students.search import read_rates, write_search
from shallow_mimic.students.train import read_student, write_students

__all__ = [
    'find_taught', 'make_members', 'rank_teachers', 'read_rates',
    'read_student', 'write_search', 'write_students',
]
