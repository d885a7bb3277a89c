"""The tfds builder `digits`, in a folder of its own because tfds searches a builder's folder for its resource files."""

import numpy as np
import tensorflow_datasets as tfds

__all__ = ['Builder']


class Builder(tfds.core.GeneratorBasedBuilder):
    """scikit-learn's 1,797 digits, 8x8 gray: 1,200 to train and 597 to test, drawn once with a fixed seed."""

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': "The first 1,200 of PCG64(0)'s permutation are train, the others test."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=(
                'Handwritten digits of 43 people, 8x8 pixels of 17 gray levels (scaled to 0..255): the test part of '
                'the UCI set "Optical Recognition of Handwritten Digits", as scikit-learn ships it.'
            ),
            features=tfds.features.FeaturesDict(
                {'image': tfds.features.Image(shape=(8, 8, 1)), 'label': tfds.features.ClassLabel(num_classes=10)}
            ),
            supervised_keys=('image', 'label'),
            homepage='https://archive.ics.uci.edu/dataset/80',
            disable_shuffling=True,  # the split below is the order on disk
            citation='E. Alpaydin and C. Kaynak. Optical Recognition of Handwritten Digits. UCI, 1998.',
        )

    def _split_generators(self, dl_manager):
        order = np.random.Generator(np.random.PCG64(0)).permutation(1797)
        return {'train': self._generate_examples(order[:1200]), 'test': self._generate_examples(order[1200:])}

    def _generate_examples(self, order):
        import cv2
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images[order] * 255 / 16).astype(np.uint8)
        for place, (image, label) in enumerate(zip(images, digits.target[order], strict=True)):
            # Already encoded bytes: an array would make tfds encode it with TensorFlow.
            png = cv2.imencode('.png', image)[1].tobytes()
            yield place, {'image': png, 'label': int(label)}
