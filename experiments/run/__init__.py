"""What the launchers call: from a checked config to a trained, evaluated, predicted or exported run.

Nothing here reads a flag, and nothing here asks which task it serves: what differs between tasks is in the `Task` and
its `Presentation`. The order in which a run passes through: `fields` (the fields of a config, declared once), `check`
(all that is wrong, at once), `batches` (the data, opened once), `assemble` (the pieces that the config names), then
`training`, `evaluation`, `prediction` or `exporting`, which share `variables` and `workdir`.
"""
