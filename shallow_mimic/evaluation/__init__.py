"""Nets judged: metrics, records, fidelity to teachers, phones, latencies."""

from shallow_mimic.evaluation.nets import Judged, Split, evaluate, predict

__all__ = [
    'Judged', 'Split', 'evaluate', 'predict',
]
