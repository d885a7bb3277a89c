"""The tfds builder `digit_scenes`, of scenes that `scenes` draws."""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from jaxcv.data.digit_scenes import scenes

__all__ = ['Builder', 'ScenesConfig']

_SIZE = 96
_EXAMPLES = {'train': 1000, 'validation': 200, 'test': 200}


@dataclasses.dataclass(kw_only=True)
class ScenesConfig(tfds.core.BuilderConfig):
    """A configuration of the data set: the difficulty of its scenes."""

    difficulty: scenes.Difficulty = dataclasses.field(default_factory=scenes.Difficulty)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Handwritten digits on real photos and textures, 96x96: 1,000 scenes to train, 200 to validate, 200 to test."""

    VERSION = tfds.core.Version('2.0.0')
    RELEASE_NOTES = {  # noqa: RUF012
        '1.0.0': 'Scene i of split s is drawn from PCG64([s, i]).',
        '2.0.0': 'The same scenes; `masks` is named `instance_masks`, and `labels` `box_labels`.',
    }
    # The first is the default.
    BUILDER_CONFIGS = [  # noqa: RUF012
        ScenesConfig(name='default', description='2 to 7 digits that overlap a little, some curves, some noise.'),
        ScenesConfig(
            name='easy',
            description='1 to 4 digits, large, clear and apart, and little else.',
            difficulty=scenes.Difficulty(
                digits=(1, 4), sizes=(22, 48), tilt=10, hidden=0, contrast=110, strokes=0, noise=3
            ),
        ),
        ScenesConfig(
            name='hard',
            description='5 to 12 digits, small, tilted, faint and overlapping, many curves, strong noise.',
            difficulty=scenes.Difficulty(
                digits=(5, 12), sizes=(12, 48), tilt=35, hidden=0.4, contrast=40, strokes=8, noise=16
            ),
        ),
        ScenesConfig(
            name='border',
            description='As the default, with the pixels at edges ignored in the mask (255), as in PASCAL VOC.',
            difficulty=scenes.Difficulty(border=True),
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=(
                "scikit-learn's handwritten digits, upscaled, rotated, coloured and laid one upon another on photos "
                'and textures of scikit-image, with the exact class of each pixel, the visible part of each digit, '
                'its box and its label. The splits share neither a digit nor a background.'
            ),
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(_SIZE, _SIZE, 3)),
                    'mask': tfds.features.LabeledImage(shape=(_SIZE, _SIZE, 1), labels=list(scenes.CLASS_NAMES)),
                    'instance_masks': tfds.features.Tensor(shape=(None, _SIZE, _SIZE), dtype=np.uint8, encoding='zlib'),
                    'boxes': tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
                    'box_labels': tfds.features.Sequence(tfds.features.ClassLabel(num_classes=10)),
                }
            ),
            supervised_keys=('image', 'mask'),
            homepage='https://archive.ics.uci.edu/dataset/80',
            disable_shuffling=True,
            citation='E. Alpaydin and C. Kaynak. Optical Recognition of Handwritten Digits. UCI, 1998.',
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in _EXAMPLES}

    def _generate_examples(self, split):
        import cv2

        pictures, (ink, labels) = scenes.backgrounds(split), scenes.digits(split)
        stream = list(_EXAMPLES).index(split)
        for place in range(_EXAMPLES[split]):
            drawn = scenes.scene(
                [stream, place], pictures, ink, labels, size=_SIZE, difficulty=self.builder_config.difficulty
            )
            # Already encoded bytes: an array would make tfds encode it with TensorFlow.
            image, mask = (cv2.imencode('.png', array)[1].tobytes() for array in (drawn.image[..., ::-1], drawn.mask))
            yield place, {**drawn._asdict(), 'image': image, 'mask': mask}
