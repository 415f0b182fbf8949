"""The tables of a plan, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shallow_mimic import configs, ensembles, models
from shallow_mimic.evaluation import describe
from shallow_mimic.training import chunks, family, objectives
from shallow_mimic.training.loss_specs import say_loss


def make_net_table(nets: Sequence[tuple[str, models.Net]],
                   ensembles_config: Mapping[str, configs.Ensemble],
                   groups: Mapping[str, Sequence[models.Net]]) -> list[str]:
  """A line for each net and each ensemble of several: its true sizes.

  Args:
    nets: (name of the model, its net), repeats allowed.
    ensembles_config: `config.ensembles`.
    groups: nets of each group of teachers.
  """
  found = {(name, str(net.architecture)): describe.model_sizes(net)
           for name, net in dict.fromkeys(nets)}
  for name, ensemble in ensembles_config.items():
    members = [net for text in ensemble.members
               for net in ensembles.pick_members(groups, text)]
    if len(members) > 1:
      sizes = describe.ensemble_sizes(members)
      found[name, sizes.pop('architecture')] = sizes
  return format_columns([
      ('model', 'architecture', 'parameters', 'absorbed', 'units',
       'multiply-adds', 'depth')] + [
      (model, text, *[shorten(sizes[key]) for key in (
          'parameters', 'parameters_absorbed', 'hidden_units',
          'multiply_adds', 'sequential_depth')])
      for (model, text), sizes in found.items()])


def make_loss_table(members: Sequence[family.Member]) -> list[str]:
  """A line for each objective: who minimises it, and what a report calls it."""
  curves = {one.objective: dict.fromkeys(
      m.model for m in members if m.objective == one.objective)
            for one in members}
  return format_columns([('loss', 'curves', 'in words')] + [
      (one.name + (one.version and f' (version {one.version})'),
       ', '.join(names), say_loss(one.name, objectives.find_constants(one)))
      for one, names in curves.items()])


def make_bucket_table(phase: str, buckets: Sequence[family.Bucket], batch: int,
                      platform: str, copies: int) -> list[str]:
  """A line for each bucket: its padded net, members, padding and state."""
  if not buckets:
    return []
  return format_columns([
      (phase, 'padded to', 'members', 'side by side', 'padding', 'state')] + [
      ('', str(b.net.architecture), str(len(b.indices)),
       str(chunks.choose_group(b, batch, platform)), f'{b.waste:.1%}',
       name_size(count_state([b], copies))) for b in buckets])


def count_state(buckets: Sequence[family.Bucket], copies: int) -> int:
  """Numbers that the members of buckets keep, padding included."""
  return copies * sum(
      len(b.indices) * models.count_parameters(b.net) for b in buckets)


def make_work_table(work: Mapping[str, float], rate: float) -> list[str]:
  """A line for each stage, and one for all: multiply-adds and time."""
  work = {**work, 'all': sum(work.values())}
  return format_columns([('stage', 'multiply-adds', 'estimate')] + [
      (stage, f'{amount:.3g}', name_duration(amount / rate))
      for stage, amount in work.items()])


def name_sets(rows: Mapping[str, int | None]) -> str:
  """The sets of inputs with their sizes, '?' where unknown."""
  return ', '.join(f'{name} {count:,}' if count else f'{name} ?'
                   for name, count in rows.items())


def format_columns(rows: Sequence[Sequence[str]]) -> list[str]:
  """Rows of text as aligned columns; the first two lean left."""
  widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
  return ['  '.join(
      cell.ljust(width) if i < 2 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
  ).rstrip() for row in rows]


def shorten(number: int) -> str:
  """1234567 as 1.23M; one decimal from 20 on, where a second says little."""
  for unit, suffix in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
    if number >= unit:
      value = number / unit
      return f'{value:.{2 if value < 20 else 1}f}{suffix}'
  return str(number)


def name_size(count: float) -> str:
  """Bytes of so many float32 numbers, as 1.23MB."""
  return f'{shorten(round(4 * count))}B'


def name_duration(seconds: float) -> str:
  """In the largest unit of which there are two."""
  for unit, name in ((86400, 'days'), (3600, 'hours'), (60, 'minutes')):
    if seconds >= 2 * unit:
      return f'{seconds / unit:.1f} {name}'
  return f'{seconds:.0f} seconds'
