"""Shallow nets that mimic the logits of deep ones (Ba & Caruana).

The path through the package: data → teachers → ensemble → logit cache →
student family → curves.

Axes, the same everywhere:
  B  batch            C  classes           F  features of an input
  H  hidden units     K  bottleneck units  N  examples of a split
  S  students         T  teachers          D  devices

Words: `inputs` are arrays x; `logits` are a net's outputs before the softmax,
`targets` the cached logits of a teacher, `labels` integers; the `transfer set`
holds the inputs that the teacher labels; a `mixture` names the sets that a net
trains on; a `family` is a set of students that train together; a student's
`width` is its number of non-linear hidden units; a `record` holds one net's
numbers.
"""

from shallow_mimic.registry import register

__all__ = ['__version__', 'register']
__version__ = '0.1.0'
