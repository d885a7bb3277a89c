"""The tfds builder `moving_photos`, of pairs that `jaxcv.data.layers` draws."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from jaxcv.data import layers
from jaxcv.data.photos import photos

__all__ = ['Builder', 'MovingConfig']

_SIZE = (128, 192)
_EXAMPLES = {'train': 600, 'validation': 50, 'test': 100}


@dataclasses.dataclass(kw_only=True)
class MovingConfig(tfds.core.BuilderConfig):
    """A configuration of the data set: the difficulty of its motion."""

    difficulty: layers.FlowDifficulty = dataclasses.field(default_factory=layers.FlowDifficulty)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Two frames of moving layers of photos, 128x192: 600 pairs to train, 50 to validate, 100 to test."""

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'Pair i of split s is drawn from PCG64([s, i]).'}  # noqa: RUF012
    # The first is the default.
    BUILDER_CONFIGS = [  # noqa: RUF012
        MovingConfig(name='default', description='1 to 3 layers that shift by up to 12 pixels, turn, grow and bend.'),
        MovingConfig(
            name='easy',
            description='No or one layer, shifts of up to 5 pixels, and nothing else.',
            difficulty=layers.FlowDifficulty(layers=(0, 1), shift=5, turn=0, zoom=0, bend=0, light=0, noise=0),
        ),
        MovingConfig(
            name='hard',
            description='2 to 6 layers that shift by up to 24 pixels and turn by 12 degrees; other light, more noise.',
            difficulty=layers.FlowDifficulty(layers=(2, 6), shift=24, turn=12, zoom=0.12, bend=3, light=0.2, noise=6),
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=(
                'Photos and textures of scikit-image and scikit-learn, cut out as smooth blobs, in front of each other '
                'and moved by smooth maps with an inverse: the flow of each pixel of the first frame, and whether the '
                'second frame shows it, are exact. The splits share no photo.'
            ),
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(*_SIZE, 3)),
                    'next_image': tfds.features.Image(shape=(*_SIZE, 3)),
                    'flow': tfds.features.Tensor(shape=(*_SIZE, 2), dtype=np.float32, encoding='zlib'),
                    'flow_visible': tfds.features.Tensor(shape=_SIZE, dtype=np.bool_, encoding='zlib'),
                }
            ),
            disable_shuffling=True,
            citation='S. van der Walt et al. scikit-image: image processing in Python. PeerJ 2:e453, 2014.',
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in _EXAMPLES}

    def _generate_examples(self, split):
        import cv2

        pictures, stream = photos(split), list(_EXAMPLES).index(split)
        for place in range(_EXAMPLES[split]):
            drawn = layers.moving_pair(
                [stream, place], pictures, size=_SIZE, difficulty=self.builder_config.difficulty
            )._asdict()
            # Already encoded bytes: an array would make tfds encode it with TensorFlow.
            for name in ('image', 'next_image'):
                drawn[name] = cv2.imencode('.png', drawn[name][..., ::-1])[1].tobytes()
            yield place, drawn
