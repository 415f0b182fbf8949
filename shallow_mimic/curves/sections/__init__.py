"""The report, a file a figure or table: find, draw, say and tabulate.

`Section.registry` has them in the order of the page, a user's own after them.
"""

from shallow_mimic.curves.section import Section
from shallow_mimic.curves.sections import (
  accuracy,
  confusions,
  controls,
  details,
  latency,
  likeness,
  loss_study,
  overfitting,
  phone_errors,
  rate_search,
  reliability,
  sizes,
  student_vs_teacher,
  transfer_sizes,
)
from shallow_mimic.registry import Registry

Section.registry = Registry('section', (
    accuracy.SECTION,
    controls.SECTION,
    overfitting.SECTION,
    student_vs_teacher.SECTION,
    latency.SECTION,
    transfer_sizes.SECTION,
    loss_study.SECTION,
    reliability.SECTION,
    likeness.SECTION,
    sizes.SECTION,
    phone_errors.SECTION,
    confusions.SECTION,
    details.SECTION,
    rate_search.SECTION,
))
