"""Stage: the family of shallow students, and the artefact of one."""

from shallow_mimic.students.members import (
    find_taught,
    make_members,
    rank_teachers,
)
from shallow_mimic.students.scores import Scores, judge_students, scores_folder
from shallow_mimic.students.search import (
    choose_rates,
    mark_selected,
    plan_search,
)
from shallow_mimic.students.train import list_students, plan_students

__all__ = [
    'Scores', 'choose_rates', 'find_taught', 'judge_students', 'list_students',
    'make_members', 'mark_selected', 'plan_search', 'plan_students',
    'rank_teachers', 'scores_folder',
]
