"""The PyTorch reference: the usual loop, one net after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn


def make_student(features: int, bottleneck: int, width: int,
                 classes: int) -> nn.Sequential:
  """One hidden ReLU layer, behind a linear bottleneck if there is one."""
  layers, inside = [], features
  if bottleneck:
    layers, inside = [nn.Linear(features, bottleneck, bias=False)], bottleneck
  return nn.Sequential(
      *layers, nn.Linear(inside, width), nn.ReLU(), nn.Linear(width, classes)
  )


def make_image_cnn() -> nn.Sequential:
  """32c3-32c3-p2-64c3-64c3-p2-256fc on 32×32×3 images."""
  return nn.Sequential(
      nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(),
      nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
      nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
      nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
      nn.Flatten(), nn.Linear(64 * 64, 256), nn.ReLU(), nn.Linear(256, 10),
  )


def make_signal_cnn() -> nn.Sequential:
  """32c-p2-64c-p2-128fc on signals of 40 samples."""
  return nn.Sequential(
      nn.Conv1d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
      nn.Conv1d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2),
      nn.Flatten(), nn.Linear(64 * 10, 128), nn.ReLU(), nn.Linear(128, 10),
  )


def make_regression_run(students: Sequence[nn.Module], x: np.ndarray,
                        targets: np.ndarray, batch: int, *,
                        fused: bool) -> Callable[[], None]:
  """Returns run(): one Adam step of logit regression of each student."""
  x, targets = torch.from_numpy(x), torch.from_numpy(targets)
  optimizers = [torch.optim.Adam(s.parameters(), 1e-3, fused=fused)
                for s in students]

  def run():
    for student, optimizer in zip(students, optimizers, strict=True):
      rows = torch.randint(0, len(x), (batch,))
      loss = 0.5 * (student(x[rows]) - targets[rows]).square().sum() / batch
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()

  return run


def make_label_run(net: nn.Module, x: np.ndarray, labels: np.ndarray,
                   batch: int) -> Callable[[], None]:
  """Returns run(): one Adam step of cross-entropy; x is channels-first."""
  x, labels = torch.from_numpy(x), torch.from_numpy(labels).long()
  optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)

  def run():
    rows = torch.randint(0, len(x), (batch,))
    loss = nn.functional.cross_entropy(net(x[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

  return run


def make_matmul_run(m: int, k: int, n: int) -> Callable[[], None]:
  """Returns run(): one matrix product [m, k] × [k, n]."""
  a, b = torch.ones(m, k), torch.ones(k, n)
  return lambda: torch.mm(a, b)
