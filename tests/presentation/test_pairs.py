"""Embeddings as people see them: a table of distances, a vector for each picture."""

import numpy as np

from jaxcv import presentation, viz
from jaxcv.task import Gallery, PhotoOptions, Shown

RNG = np.random.default_rng(0)
SHOW = presentation.pairs()


def test_the_figure_has_the_distances_of_the_images():
    for channels in (1, 3):
        rows = tuple(
            Shown(
                {'image': RNG.integers(0, 256, (8, 8, channels), np.uint8), 'label': i % 2}, {'embedding': np.eye(4)[i]}
            )
            for i in range(3)
        )
        figure = SHOW.draw(Gallery(rows), {'label': ('cat', 'dog')})
        texts = {text.get_text() for text in figure.axes[0].texts}
        assert texts == {'0.00', '1.41'}
        assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ['cat', 'dog', 'cat']
        assert viz.rendered(figure).std() > 10
    unknown = (Shown({'image': rows[0].example['image']}, rows[0].answer),)
    assert SHOW.draw(Gallery(unknown), {}).axes


def test_every_picture_gets_its_vector():
    def predict(batch):
        return {'embedding': batch['image'].reshape(len(batch['image']), -1)[:, :2] / 255, 'valid': batch['valid']}

    examples = [{'image': np.full((4, 4, 1), value, np.uint8)} for value in (51, 102, 255)]
    options = PhotoOptions((4, 4, 1), lambda x: x, lambda x: x, batch_size=2)
    answers = list(SHOW.photos(predict, examples, options))
    assert [answer['embedding'].round(2).tolist() for answer in answers] == [[0.2, 0.2], [0.4, 0.4], [1.0, 1.0]]
    written = SHOW.write(examples[0]['image'], answers[0], {})
    assert written.row == {'embedding': [0.2, 0.2]}
    assert written.line == 'a vector of 2 numbers, length 0.283'
    assert SHOW.judge({'label': 1}, answers[0]).mistakes == 0
