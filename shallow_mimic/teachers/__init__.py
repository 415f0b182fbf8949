"""Stage: deep nets trained on labels, and the labels of speech realigned."""

from shallow_mimic.teachers.realignment import read_dataset
from shallow_mimic.teachers.train import (
    list_teachers,
    make_members,
    plan_teachers,
    read_teacher,
)

__all__ = [
    'list_teachers', 'make_members', 'plan_teachers', 'read_dataset',
    'read_teacher',
]
