"""The tfds builder `faces`, in a folder of its own because tfds searches a builder's folder for its resource files."""

import numpy as np
import tensorflow_datasets as tfds

__all__ = ['Builder']


class Builder(tfds.core.GeneratorBasedBuilder):
    """scikit-image's 200 patches, 25x25 gray, half of them faces: 100 to train and 100 to test, 50 faces in each."""

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {  # noqa: RUF012
        '1.0.0': "Of each class, the first 50 of PCG64(0)'s permutations are train, the others test; then shuffled."
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=(
                '100 faces and 100 patches of the background of photos of "Labeled Faces in the Wild", 25x25 pixels '
                'in gray, as scikit-image ships them (skimage.data.lfw_subset).'
            ),
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(25, 25, 1)),
                    'label': tfds.features.ClassLabel(names=['face', 'other']),
                }
            ),
            supervised_keys=('image', 'label'),
            homepage='http://vis-www.cs.umass.edu/lfw/',
            disable_shuffling=True,  # the split below is the order on disk
            citation=(
                'G. Huang, M. Ramesh, T. Berg and E. Learned-Miller. Labeled Faces in the Wild. '
                'University of Massachusetts, Amherst, Technical Report 07-49, 2007.'
            ),
        )

    def _split_generators(self, dl_manager):
        train, test = split()
        return {'train': self._generate_examples(train), 'test': self._generate_examples(test)}

    def _generate_examples(self, order):
        import cv2
        from skimage.data import lfw_subset

        patches = np.round(np.asarray(lfw_subset()) * 255).astype(np.uint8)
        for place, index in enumerate(order):
            # Already encoded bytes: an array would make tfds encode it with TensorFlow.
            png = cv2.imencode('.png', patches[index])[1].tobytes()
            yield place, {'image': png, 'label': int(index >= 100)}


def split() -> tuple[np.ndarray, np.ndarray]:
    """Places of the train and of the test patches in scikit-image's array, whose first 100 are the faces."""
    generator = np.random.Generator(np.random.PCG64(0))
    faces, others = generator.permutation(100), 100 + generator.permutation(100)
    train = generator.permutation(np.concatenate([faces[:50], others[:50]]))
    test = generator.permutation(np.concatenate([faces[50:], others[50:]]))
    return train, test
