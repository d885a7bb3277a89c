"""The functions behind the launchers: from a checked config to a trained, evaluated, predicted or exported run.

Nothing here reads a flag or depends on the kind of task: the differences between tasks are in the `Task` and its
`Presentation`. The modules in the order in which a run uses them: `fields` (the fields of a config, declared once),
`check` (all that is wrong, at once), `batches` (the data, opened once), `assemble` (the pieces that the config names),
then `training`, `evaluation`, `prediction` or `exporting`, which share `variables` and `workdir`.
"""
