"""Embeddings as people see them: a table of distances, a vector for each picture."""

import numpy as np
import pytest

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


def test_names_by_the_nearest_known_picture():
    def answer(*vector):
        return {'embedding': np.array(vector, np.float32)}

    pictures = [np.full((4, 4, 3), 50 * i, np.uint8) for i in range(4)]
    known = [answer(0, 0), answer(3, 0), answer(0, 1), answer(0.2, 1)]
    names = ['Bob', 'Ann', 'Eve', 'Bob']
    values = {'verification_threshold': 2.0}
    naming = SHOW.enrolled(known, names, lambda row: pictures[row], values)
    written = naming.write(pictures[0], answer(2.5, 0), {})
    assert written.line == 'Ann, distance 0.500'
    assert written.row == {'name': 'Ann', 'distance': 0.5, 'nearest': 'Ann', 'embedding': [2.5, 0.0]}
    assert naming.write(pictures[0], answer(9, 0), {}).row['name'] == 'unknown'
    assert naming.write(pictures[0], answer(0, 0.9), {}).row['name'] == 'Eve'
    # A new person is one more row; the vote of three has another result; nobody is unknown at a distance of inf.
    more = SHOW.enrolled([*known, answer(9, 0)], [*names, 'Zoe'], lambda row: pictures[0], values)
    assert more.write(pictures[0], answer(9, 0), {}).line == 'Zoe, distance 0.000'
    vote = SHOW.options({'k': '3', 'threshold': '1.5'}, {}).enrolled(known, names, lambda row: pictures[row], {})
    assert vote.write(pictures[0], answer(0, 0.9), {}).row['name'] == 'Bob'
    closed = SHOW.options({'threshold': 'none'}, {}).enrolled(known, names, lambda row: pictures[row], {})
    assert closed.write(pictures[0], answer(90, 0), {}).row['name'] == 'Ann'
    shown = Gallery(tuple(Shown({'image': pictures[0]}, answer(x, 0)) for x in (2.5, 9)))
    titles = [axes.get_title() for axes in naming.draw(shown, {}).axes]
    assert titles == ['Ann', '0.50 Ann', 'unknown', '6.00 Ann']
    for nothing in ({}, {'verification_threshold': float('nan')}):
        with pytest.raises(ValueError, match="no threshold for 'unknown': evaluate first"):
            SHOW.enrolled(known, names, lambda row: pictures[row], nothing)
    for given, message in (
        ({'score': '1'}, "no option 'score'; there are: threshold=DISTANCE and k=NUMBER"),
        ({'k': 'many'}, 'are numbers, got'),
        ({'threshold': '0'}, r'threshold must be .*\(0, inf\)'),
        ({'k': '0'}, r'k must be in \[1, inf\)'),
    ):
        with pytest.raises(ValueError, match=message):
            SHOW.options(given, {})


def test_truths_are_drawn_and_counted_by_identity():
    examples = [{'image': np.zeros((8, 8, 1), np.uint8), 'label': np.int32(i)} for i in (1, 0, 1)]
    rows = tuple(Shown({'image': one['image']}, SHOW.truth(one)) for one in examples)
    figure = SHOW.draw(Gallery(rows), {'label': ('Ann', 'Bob')})
    assert [axes.get_title() for axes in figure.axes] == ['Ann', 'Bob', 'Bob']
    assert SHOW.statistics(examples, {'label': ('Ann', 'Bob')}) == {
        'identities': '2, with 1 to 2 images; 1 with one',
        'label': 'Bob 2, Ann 1',
    }
    listed = [{'image': one['image'], 'pair': 0} for one in examples]  # of a list of pairs, without identities
    assert not SHOW.statistics(listed, {})
    assert SHOW.draw(Gallery(tuple(Shown(one, SHOW.truth(one)) for one in listed)), {}).axes
