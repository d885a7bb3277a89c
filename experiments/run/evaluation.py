"""Evaluation of a trained workdir: a table, evaluation.json, and the figures of the task's presentation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from experiments.run import batches as opening
from experiments.run import memory, tables, workdir
from experiments.run.assemble import Experiment, assemble, check_evaluation
from experiments.run.check import Checked
from experiments.run.gallery import INDEX, Kept, Worst
from experiments.run.variables import described as networks_described
from experiments.run.variables import evaluated_task, restore
from jaxcv import config, data, training, viz
from jaxcv.features import Example
from jaxcv.task import Presentation, Report

EVALUATION = 'evaluation.json'


def evaluate(checked: Checked, folder: Path, which: int | str, *, averaged: bool | None = None) -> int:
    """Evaluates one checkpoint on the evaluation split, and writes the results into the workdir.

    Args:
        checked: the config of the run, with the `data` and `views` to evaluate with.
        folder: the workdir.
        which: 'last', 'best' or a step.
        averaged: whether to evaluate the average; None: as the config says.

    Returns:
        The exit code.
    """
    fields = checked.data
    if fields.eval_split is None:
        raise config.ConfigError('data.eval_split is None: set it, --config=NAME --config.data.eval_split=test')
    averaged = checked.training.evaluate_averaged if averaged is None else averaged
    facts = workdir.facts_of(folder, checked)
    evaluation = opening.open_evaluation(checked, facts)
    experiment = assemble(checked, opening.as_evaluated(facts, evaluation))
    check_evaluation(experiment)
    opening.warn_of(
        checked, experiment.task.presentation, evaluation.source, fields.eval_transforms, evaluation.names, facts
    )
    mesh = training.make_mesh()
    trained_on = workdir.trained_on(folder, checked)
    variables, step = restore(experiment, folder, which, mesh, averaged=averaged, trained_on=trained_on)

    task = evaluated_task(experiment, averaged=averaged)
    shown = task.presentation if jax.process_count() == 1 else None  # else no process has all rows of a batch
    eval_step = training.make_eval_step(task, shown.answer) if shown else training.make_eval_step(task)
    worst = Worst(shown) if shown else None
    kept = Kept(shown.compared) if shown and shown.compared else None

    def see(batch: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        for one in (worst, kept):
            if one is not None:
                one.see(batch, answer)

    batches = data.prefetch(iter(evaluation.batches), training.put_batch(mesh))
    with memory.named(f'lower data.eval_batch_size ({fields.eval_batch_size})'):
        values = training.evaluate(jax.jit(eval_step), task, variables, batches, see if shown else None)
    if not workdir.is_first_process():
        return 0
    report = task.presentation.report(values, facts.names) if task.presentation else Report()
    described = {
        'data': _described(experiment, evaluation),
        'checkpoint': f'step {step}' + networks_described(experiment, variables, averaged=averaged),
    }
    _print(experiment, described, values, report)
    scalars = {name: value for name, value in sorted(values.items()) if isinstance(value, float)}
    found = {'step': step, 'averaged': averaged, 'data': fields.name, 'split': fields.eval_split}
    workdir.write_json(folder / EVALUATION, {**found, **scalars, **report.arrays})
    figures = dict(report.figures)
    if shown and worst and worst.gallery.rows:
        figures['predictions'] = shown.draw(worst.gallery, evaluation.names)
    if shown and kept:
        figures |= _compared(checked, evaluation, shown, kept)
    for name, figure in figures.items():
        viz.save(figure, folder / f'{name}.png')
    print(f'written to {folder}: {", ".join([EVALUATION, *(f"{name}.png" for name in figures)])}')
    return 0


def _compared(
    checked: Checked, evaluation: opening.EvaluationData, shown: Presentation, kept: Kept
) -> Mapping[str, Any]:
    """The figures of answers that are compared with one another; the images in them are read again."""
    rows, source = kept.rows, evaluation.source
    if shown.compared is None or not rows:
        return {}
    specs = checked.data.eval_transforms
    transform = data.transforms.compose(
        opening.prepared(checked.data, source, specs, checked.registries, warn=False).transforms
    )

    def example(row: int) -> Example:
        index = int(rows[INDEX][row])
        return {**transform({**source.read(index), 'seed': index}), 'where': source.where(index)}

    return shown.compared.draw(rows, example, evaluation.names)


def _described(experiment: Experiment, evaluation: opening.EvaluationData) -> str:
    fields, skipped, files = experiment.data, evaluation.batches.skipped, evaluation.source.files
    left_out = f', {skipped} skipped' * bool(skipped) + f' ({files})' * bool(files)
    return f'{fields.name}, {fields.eval_split}: {evaluation.source.size:,} images{left_out}'


def _print(experiment: Experiment, described: Mapping[str, str], values: Mapping[str, Any], report: Report) -> None:
    units = experiment.task.units
    numbers = {name: units[name].format(value) for name, value in sorted(values.items()) if isinstance(value, float)}
    print(tables.pairs({**described, **numbers, **report.lines}))
