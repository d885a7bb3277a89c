"""The costs of a model, layer by layer: receptive field, parameters, multiply-adds, activation memory.

    python -m experiments.summarize --model=resnet50 [--image_size=224 --channels=3 --options="{'num_classes': 10}"]

Nothing is run or allocated. A multiply-add is two operations in the notes' count; activations are of one image, in
float32, and are all kept during training.
"""

from collections.abc import Mapping

from absl import flags

from experiments import launch
from experiments.run.contracts import made_problems
from experiments.run.summary import table
from jaxcv import config, models
from jaxcv.config.text import pairs_in
from jaxcv.models.summary import summarize

MODEL = flags.DEFINE_string('model', None, 'A model, by its name or a call: "resnet50(dropout=0.1)".')
IMAGE_SIZE = flags.DEFINE_integer('image_size', 224, 'Rows and columns of the image.', lower_bound=1)
CHANNELS = flags.DEFINE_integer('channels', 3, 'Channels of the image.', lower_bound=1)
OPTIONS = flags.DEFINE_string('options', '{}', 'Arguments of the model, as a dict.')
USES = ('use',)


def main() -> int:
    """Prints the table of the flags' model; returns the exit code."""
    if not MODEL.value:
        raise config.ConfigError('give --model=NAME, such as --model=resnet50')
    used = launch.used_modules()
    try:
        spec, options = config.as_spec(MODEL.value), pairs_in(OPTIONS.value)
        if options is None:
            raise ValueError(f"--options must be a dict, '{{...}}', got {OPTIONS.value!r}")
        if not isinstance(spec, Mapping):
            raise ValueError(f"--model must be a name or a call, 'resnet50(num_classes=10)', got {MODEL.value!r}")
        typed = {**spec, **{name: config.Text(text) for name, text in options.items()}}
        spec = config.fitted_spec(typed, models, used)
    except ValueError as error:
        raise config.ConfigError(str(error)) from None
    model = config.build(spec, models, registries=used)
    config.raise_for(made_problems('model', spec['name'], model))
    print(table(summarize(model, image_size=IMAGE_SIZE.value, channels=CHANNELS.value)))
    return 0


if __name__ == '__main__':
    launch.launch(main, uses=USES)
