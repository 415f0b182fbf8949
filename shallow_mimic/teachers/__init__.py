"""Stage: deep nets trained on labels, and the labels of speech realigned."""

from shallow_mimic.teachers.realignment import read_dataset
from shallow_mimic.teachers.train import (
    make_members,
    read_teachers,
    write_teachers,
)

__all__ = [
    'make_members', 'read_dataset', 'read_teachers', 'write_teachers',
]
