"""What a model costs, layer by layer: receptive field, parameters, multiply-adds, activation memory.

    python -m experiments.summarize --model=resnet50 [--image_size=224 --channels=3 --options="{'num_classes': 10}"]

Nothing is run or allocated. A multiply-add is two operations in the notes' count; activations are of one image, in
float32, and are all kept during training.
"""

import ast

from absl import flags

from experiments import launch
from jaxcv import config, models
from jaxcv.models.summary import Layer, summarize, total

MODEL = flags.DEFINE_string('model', None, 'A model of jaxcv.models.', required=True)
IMAGE_SIZE = flags.DEFINE_integer('image_size', 224, 'Rows and columns of the image.', lower_bound=1)
CHANNELS = flags.DEFINE_integer('channels', 3, 'Channels of the image.', lower_bound=1)
OPTIONS = flags.DEFINE_string('options', '{}', 'Arguments of the model, as a Python dict.')
HEADER = ('layer', 'output', 'receptive field', 'stride', 'parameters', 'multiply-adds', 'activations, KiB')


def main() -> int:
    """Prints the table of the flags' model; returns the exit code."""
    try:
        options = ast.literal_eval(OPTIONS.value)
        spec = {**options, 'name': MODEL.value}
    except (ValueError, SyntaxError, TypeError):
        raise config.ConfigError(f"--options must be a dict, '{{...}}', got {OPTIONS.value!r}") from None
    layers = summarize(config.build(spec, models), image_size=IMAGE_SIZE.value, channels=CHANNELS.value)
    print(table(layers))
    return 0


def table(layers: list[Layer]) -> str:
    """The layers and their sums, in aligned columns.

    Example:
        >>> print(table([Layer('stem/conv', (112, 112, 64), 7, 2, 9408, 118013952, 3211264)]).splitlines()[-1].split())
        ['total', '9,408', '118,013,952', '3,136']
    """
    rows = [
        (
            layer.name,
            ' x '.join(map(str, layer.shape)),
            str(layer.receptive_field or ''),
            str(layer.stride or ''),
            *_numbers(layer.parameters, layer.multiply_adds, layer.activation_bytes),
        )
        for layer in layers
    ]
    rows = [HEADER, *rows, ('total', '', '', '', *_numbers(*total(layers).values()))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    return '\n'.join(
        '  '.join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _numbers(parameters: int, multiply_adds: int, activation_bytes: int) -> tuple[str, str, str]:
    return f'{parameters:,}', f'{multiply_adds:,}', f'{activation_bytes // 1024:,}'


if __name__ == '__main__':
    flags.FLAGS.set_default('workdir', '.')
    launch.launch(main)
