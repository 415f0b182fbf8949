"""How nets are trained, beside what is each one's own."""

from __future__ import annotations

import dataclasses
import math

from shallow_mimic import configs
from shallow_mimic.training import family


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a family is trained, beside the members' own hyper-parameters.

  `eval_every` steps lie between two looks at dev; `waste` is the share of
  work that padding may cost; a checkpoint is written when `save_seconds`
  have passed since the last one, and at the end. Inputs and targets of more
  than `memory_gib` are streamed from disk.
  """

  recipe: Recipe
  eval_every: int
  base_seed: int = 0
  waste: float = 0.25
  bucket_overhead: int = family.BUCKET_OVERHEAD
  split: str = 'family'
  devices: int = 0
  save_seconds: float = 30.0
  memory_gib: float = math.inf

  @property
  def packing(self) -> dict[str, float]:
    """What decides how a family is packed, and no member's result."""
    return {'waste': self.waste, 'bucket_overhead': self.bucket_overhead}

  @property
  def memory(self) -> float:
    """Bytes of inputs and targets that may be in memory."""
    return self.memory_gib * 2 ** 30


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What all members of a family share.

  `steps` updates of `batch` examples; `optimizer` is 'adam', 'muon' or 'sgd'
  (the last two with `momentum`); the learning rate rises over `warmup` (a
  share of the steps) and falls as a cosine; `clip` is the largest global norm
  of a member's gradient, 0 for none.
  """

  steps: int
  batch: int
  optimizer: str = 'adam'
  momentum: float = 0.9
  warmup: float = 0.05
  clip: float = 0.0


def make_settings(config: configs.Config, section: configs.Training, *,
                  steps: int = 0) -> Settings:
  """How a section's nets are trained; `steps` overrides the section's."""
  steps = steps or section.steps
  return Settings(
      recipe=Recipe(
          steps=steps, batch=section.batch, optimizer=section.optimizer,
          momentum=section.momentum, warmup=section.warmup, clip=section.clip,
      ),
      eval_every=min(section.eval_every, steps), base_seed=config.seed,
      waste=config.students.waste, split=config.parallel.split,
      devices=config.parallel.devices,
      save_seconds=config.parallel.save_seconds,
      memory_gib=config.data.memory_gib,
  )
