"""The costs of a model, layer by layer: receptive field, parameters, multiply-adds, activation memory.

    python -m experiments.summarize --model=resnet50 [--image_size=224 --channels=3 --options="{'num_classes': 10}"]

Nothing is run or allocated. A multiply-add is two operations in the notes' count; activations are of one image, in
float32, and are all kept during training.
"""

import ast

from absl import flags

from experiments import launch
from experiments.run.summary import table
from jaxcv import config, models
from jaxcv.models.summary import summarize

MODEL = flags.DEFINE_string('model', None, 'A model of jaxcv.models.')
IMAGE_SIZE = flags.DEFINE_integer('image_size', 224, 'Rows and columns of the image.', lower_bound=1)
CHANNELS = flags.DEFINE_integer('channels', 3, 'Channels of the image.', lower_bound=1)
OPTIONS = flags.DEFINE_string('options', '{}', 'Arguments of the model, as a Python dict.')
USES = ()


def main() -> int:
    """Prints the table of the flags' model; returns the exit code."""
    if not MODEL.value:
        raise config.ConfigError('give --model=NAME, such as --model=resnet50')
    try:
        spec = {**ast.literal_eval(OPTIONS.value), 'name': MODEL.value}
    except (ValueError, SyntaxError, TypeError):
        raise config.ConfigError(f"--options must be a dict, '{{...}}', got {OPTIONS.value!r}") from None
    print(table(summarize(config.build(spec, models), image_size=IMAGE_SIZE.value, channels=CHANNELS.value)))
    return 0


if __name__ == '__main__':
    launch.launch(main, uses=USES)
