"""The tfds builder `shifted_photos`, of stereo pairs that `jaxcv.data.layers` draws."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from jaxcv.data import layers
from jaxcv.data.photos import photos

__all__ = ['Builder', 'ShiftedConfig']

_SIZE = (128, 192)
_EXAMPLES = {'train': 600, 'validation': 50, 'test': 100}


@dataclasses.dataclass(kw_only=True)
class ShiftedConfig(tfds.core.BuilderConfig):
    """A configuration of the data set: the difficulty of its pairs."""

    difficulty: layers.StereoDifficulty = dataclasses.field(default_factory=layers.StereoDifficulty)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Stereo pairs of layers of photos, 128x192: 600 to train, 50 to validate, 100 to test."""

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'Pair i of split s is drawn from PCG64([s, i]).'}  # noqa: RUF012
    # The first is the default.
    BUILDER_CONFIGS = [  # noqa: RUF012
        ShiftedConfig(name='default', description='3 to 5 slanted layers, disparities of 2 to 24 pixels.'),
        ShiftedConfig(
            name='easy',
            description='2 or 3 layers that face the cameras, disparities of 2 to 16 pixels, no noise.',
            difficulty=layers.StereoDifficulty(layers=(1, 2), disparity=(2, 16), slant=0, bend=0, light=0, noise=0),
        ),
        ShiftedConfig(
            name='hard',
            description='4 to 8 slanted and bent layers, disparities of 1 to 40 pixels; other light, more noise.',
            difficulty=layers.StereoDifficulty(
                layers=(3, 7), disparity=(1, 40), slant=0.15, bend=2, light=0.2, noise=6
            ),
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=(
                'Photos and textures of scikit-image and scikit-learn, cut out as smooth blobs, slanted and bent, seen '
                'by two cameras side by side: the disparity of each pixel of both views, and whether the other view '
                'shows it, are exact. The splits share no photo.'
            ),
            features=tfds.features.FeaturesDict(
                {
                    'left': tfds.features.Image(shape=(*_SIZE, 3)),
                    'right': tfds.features.Image(shape=(*_SIZE, 3)),
                    'disparity': tfds.features.Tensor(shape=_SIZE, dtype=np.float32, encoding='zlib'),
                    'disparity_visible': tfds.features.Tensor(shape=_SIZE, dtype=np.bool_, encoding='zlib'),
                    'right_disparity': tfds.features.Tensor(shape=_SIZE, dtype=np.float32, encoding='zlib'),
                    'right_disparity_visible': tfds.features.Tensor(shape=_SIZE, dtype=np.bool_, encoding='zlib'),
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
            drawn = layers.stereo_pair(
                [stream, place], pictures, size=_SIZE, difficulty=self.builder_config.difficulty
            )._asdict()
            # Already encoded bytes: an array would make tfds encode it with TensorFlow.
            for name in ('left', 'right'):
                drawn[name] = cv2.imencode('.png', drawn[name][..., ::-1])[1].tobytes()
            yield place, drawn
