"""Boxes: what people see of a detector."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import presentation
from jaxcv.data import transforms
from jaxcv.metrics import coco_boxes
from jaxcv.task import Gallery, PhotoOptions, Shown

NAMES = {'box_labels': ('cat', 'dog', 'cow')}
SHOW = presentation.boxes()


def answer(boxes, labels, scores):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    valid = np.ones(len(boxes), bool)
    return {'boxes': boxes, 'box_labels': np.asarray(labels), 'scores': np.asarray(scores), 'box_valid': valid}


def truth(boxes, labels, **more):
    return {'boxes': np.asarray(boxes, np.float32).reshape(-1, 4), 'box_labels': np.asarray(labels), **more}


CUT = transforms.compose([transforms.resize_short_side(size=64), transforms.center_crop(size=48)])
LETTERBOX = transforms.compose([transforms.resize(size=(30, 40)), transforms.center_crop(size=64)])
WAYS = {
    'resized': (transforms.resize(size=(32, 64)), (90, 50), (32, 64)),
    'short side, then a crop': (CUT, (120, 160), (48, 48)),
    'a letterbox': (LETTERBOX, (90, 120), (64, 64)),
    'a small crop of a large photo': (transforms.center_crop(size=64), (900, 1400), (64, 64)),
    'without boxes': (
        transforms.compose([transforms.resize(size=(20, 20)), transforms.keep(names=['image'])]),
        (10, 40),
        (20, 20),
    ),
}


@pytest.mark.parametrize('way', WAYS)
def test_answers_come_back_to_the_photos_own_pixels(way):
    """A detector that finds the one bright rectangle of an image, through resizing, padding and crops."""
    transform, size, seen = WAYS[way]
    height, width = size
    photo = np.zeros((*size, 3), np.uint8)
    if way.startswith('a small crop'):
        box = [width // 2 - 20, height // 2 - 10, width // 2 + 20, height // 2 + 10]
    else:
        box = [round(0.4 * width), round(0.45 * height), round(0.6 * width), round(0.6 * height)]
    photo[box[1] : box[3], box[0] : box[2]] = 255

    def predict(batch):
        assert batch['image'].shape[1:3] == seen
        found = []
        for image in batch['image']:
            bright = image.mean(axis=-1) > (0.5 if image.dtype != np.uint8 else 127)
            ys, xs = np.nonzero(bright) if bright.any() else (np.zeros(1), np.zeros(1))
            found.append([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]])
        boxes = np.array(found, np.float32)
        one = np.ones(boxes.shape[:2])
        return {'boxes': boxes, 'scores': one, 'box_labels': one.astype(int), 'box_valid': one.astype(bool)}

    options = PhotoOptions((*seen, 3), transform, transform, batch_size=2)
    answers = list(SHOW.photos(predict, iter([{'image': photo, 'seed': 0}] * 3), options))
    assert len(answers) == 3
    pixel = max(1, height / seen[0], width / seen[1]) if way != 'a small crop of a large photo' else 0.1
    np.testing.assert_allclose(answers[2]['boxes'][0], box, atol=1.01 * pixel)


def test_photos_of_one_shape_share_a_batch():
    """Upright and wide ones by turns, each on its canvas; the answers keep the order of the photos."""
    shapes = []

    def predict(batch):
        shapes.append((batch['image'].shape[1:3], batch['valid'].sum()))
        x1, one = batch['image'][:, 0, 0, 0].astype(np.float32), np.ones((len(batch['image']), 1))
        boxes = np.stack([x1, 0 * x1, x1 + 2, 0 * x1 + 2], axis=-1)[:, None]
        return {'boxes': boxes, 'scores': one, 'box_labels': one.astype(int), 'box_valid': one.astype(bool)}

    transform = transforms.resize_sides(short=30, long=40, canvas=8)
    photos = [{'image': np.full((30, 40, 3) if i % 2 else (40, 30, 3), i, np.uint8)} for i in range(5)]
    answers = list(SHOW.photos(predict, photos, PhotoOptions((40, 40, 3), transform, transform, batch_size=3)))
    assert shapes == [((40, 32), 2), ((32, 40), 1), ((32, 40), 1), ((40, 32), 1)]
    np.testing.assert_allclose([answer['boxes'][0, 0] for answer in answers], range(5), atol=1e-3)


def test_answers_are_clipped_to_the_photo():
    def predict(batch):
        boxes = np.tile(np.float32([[[-9, -9, 99, 99]]]), (1, 1, 1))
        return {'boxes': boxes, 'scores': np.ones((1, 1)), 'box_labels': np.ones((1, 1)), 'box_valid': np.ones((1, 1))}

    transform = transforms.resize(size=(8, 8))
    (found,) = SHOW.photos(
        predict, [{'image': np.zeros((40, 20, 3), np.uint8)}], PhotoOptions((8, 8, 3), transform, transform)
    )
    np.testing.assert_array_equal(found['boxes'][0], [0, 0, 20, 40])


def test_the_worst_images_have_most_mistakes():
    """Missed objects and detections of none; a class that is another's is both; crowds and low scores do not count."""
    box, far = [0, 0, 10, 10], [40, 40, 60, 60]
    cases = [
        (truth([box], [1]), answer([box], [1], [0.9]), 0),
        (truth([box], [1]), answer([box], [2], [0.9]), 2),
        (truth([box, far], [1, 1]), answer([box], [1], [0.9]), 1),
        (truth([box], [1]), answer([box, box], [1, 1], [0.9, 0.8]), 1),
        (truth([box], [1]), answer([box], [1], [0.1]), 1),
        (truth([box], [1], box_valid=np.array([False])), answer([], [], []), 0),
        (truth([box], [1], box_crowd=np.array([True])), answer([], [], []), 0),
        (truth([], []), answer([box], [0], [0.9]), 1),
        (truth([[0, 0, 0, 0]], [0]), answer([[0, 0, 0, 0]], [0], [0.9]), 2),
    ]
    for true, found, mistakes in cases:
        judged = SHOW.judge(true, found)
        assert (judged.mistakes, judged.badness) == (mistakes, mistakes)


def test_suspicious_boxes_are_told():
    good = truth([[0, 0, 4, 4]], [0])
    assert not SHOW.inspect([good], NAMES)
    assert not SHOW.inspect([{'image': 0}], NAMES)
    assert 'no box at all' in SHOW.inspect([truth([], [])] * 3, NAMES)[0]
    (warning,) = SHOW.inspect([good, truth([[10, 10, 5, 5]], [0])], NAMES)
    assert warning.startswith('1 of 2 boxes')
    assert '(x, y, width, height)' in warning
    (warning,) = SHOW.inspect([{**good, 'box_crowd': np.array([True])}], NAMES)
    assert 'regions of a crowd' in warning


def test_what_is_written_is_in_cocos_format():
    """Left, top, width, height; the class by name and number; a picture; a line that counts."""
    found = answer([[1, 2, 9.5, 8], [3, 3, 5, 5], [0, 0, 1, 1]], [1, 1, 0], [0.95, 0.4, 0.1])
    written = SHOW.write(np.zeros((16, 16, 3), np.uint8), found, NAMES)
    assert written.row['objects'][0] == {'label': 1, 'class': 'dog', 'score': 0.95, 'bbox': [1.0, 2.0, 8.5, 6.0]}
    assert [row['class'] for row in written.row['objects']] == ['dog', 'dog']
    assert written.line == 'dog 2'
    assert written.pictures['boxes'].shape == (16, 16, 3)
    assert written.pictures['boxes'].any()
    assert SHOW.write(np.zeros((4, 4), np.uint8), answer([], [], []), {}).line == 'no object'


def test_options_are_checked_and_used():
    found = answer([[1, 1, 9, 9], [3, 3, 5, 5], [0, 0, 4, 4]], [1, 1, 0], [0.95, 0.4, 0.2])

    def written(show):
        rows = show.write(np.zeros((16, 16, 3), np.uint8), found, NAMES).row['objects']
        return [row['score'] for row in rows]

    assert written(SHOW.options({'score': '0.1'}, NAMES)) == [0.95, 0.4, 0.2]
    assert written(SHOW.options({'score': 0.1, 'classes': 'cat'}, NAMES)) == [0.2]
    chosen = SHOW.options({'classes': ['cat', 'cow']}, NAMES)
    assert chosen.judge(truth([[1, 1, 9, 9]], [1]), found).mistakes == 0
    wrong = [
        ({'scores': 0.5}, "no option 'scores', did you mean score"),
        ({'score': 'high'}, r"score must be a number in \[0, 1\], got 'high'"),
        ({'score': 50}, r'score must be a number in \[0, 1\], got 50'),
        ({'classes': ['dgo']}, "no class 'dgo', did you mean dog"),
    ]
    for given, message in wrong:
        with pytest.raises(ValueError, match=message):
            SHOW.options(given, NAMES)


def test_sums_of_votes_are_written_but_not_drawn():
    show, found = presentation.boxes(score=-np.inf, percent=False), answer([[30, 40, 70, 80]], [0], [-12.5])
    written = show.write(np.zeros((90, 90, 3), np.uint8), found, NAMES)
    assert written.row['objects'][0]['score'] == -12.5
    for names, texts in ((NAMES, True), ({'box_labels': ('',)}, False)):
        above = show.write(np.zeros((90, 90, 3), np.uint8), found, names).pictures['boxes'][:38]
        assert above.any() == texts
    texts = show.draw(Gallery((Shown({'image': np.zeros((90, 90))}, found),)), NAMES).axes[0].texts
    assert [text.get_text() for text in texts] == ['cat']
    assert not show.options({'score': 3}, NAMES).write(np.zeros((9, 9)), found, NAMES).row['objects']
    with pytest.raises(ValueError, match="score must be a number, got 'high'"):
        show.options({'score': 'high'}, NAMES)


def test_the_report_has_classes_curves_and_thresholds():
    """On detections of which the best threshold is known: three right ones above 0.5, wrong ones below."""
    boxes = np.stack([[20 * i, 0, 20 * i + 10, 10] for i in range(4)]).astype(np.float32)
    batch = {
        'boxes': jnp.asarray(boxes[None]),
        'box_labels': jnp.ones((1, 4), int),
        'box_valid': jnp.ones((1, 4), bool),
    }
    found = np.concatenate([boxes[:3], boxes[:3] + 300])
    scores = jnp.array([[0.9, 0.8, 0.6, 0.5, 0.4, 0.3]])
    six = jnp.ones((1, 6))
    predictions = {
        'boxes': jnp.asarray(found[None]),
        'scores': scores,
        'box_labels': six.astype(int),
        'box_valid': six > 0,
    }
    metric = coco_boxes(num_classes=3)
    rows = {name: np.asarray(value) for name, value in metric.measure(predictions, batch).items()}
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        values = metric.compute(rows)
        report = SHOW.report(values, NAMES)
    assert list(report.arrays['best_f1']) == ['dog']
    best = report.arrays['best_f1']['dog']
    assert best['score'] == pytest.approx(0.6, abs=1e-4)
    assert best['precision'] == 1
    assert best['f1'] == pytest.approx(2 * 0.75 / 1.75, abs=0.01)
    assert report.arrays['class_ap']['cat'] is None
    assert set(report.figures) == {'detection_confusion', 'precision_recall'}
    assert report.lines['class_ap'].startswith('dog ')
    assert 'least_score' not in report.lines
    cut = presentation.boxes(least_score=0.3).report(values, NAMES).lines['least_score']
    assert 'drops scores below 0.3' in cut
    assert 'task.least_score=0.05' in cut


def test_the_figure_has_the_truth_beside_the_answer():
    image, found = np.zeros((16, 16, 3), np.uint8), answer([[1, 1, 9, 9]], [1], [0.9])
    row = Shown({'image': image, **truth([[2, 2, 9, 9]], [0])}, found)
    figure = SHOW.draw(Gallery((row,), seen=5, mistakes=3, of=9), NAMES)
    assert [axes.get_title() for axes in figure.axes] == ['truth', 'predicted']
    assert figure.get_suptitle().startswith('3 mistakes about 9 objects in 5 images')
    alone = SHOW.draw(Gallery((Shown({'image': image}, found),)), NAMES)
    assert [axes.get_title() for axes in alone.axes] == ['predicted']


def test_results_have_the_numbers_of_the_data_sets_own_files():
    numbered = SHOW.numbered({'box_labels': [3, 18, 90]})
    given = answer([[0, 0, 4, 4], [4, 4, 9, 9]], [2, 0], [0.9, 0.8])
    rows = numbered.write(np.zeros((16, 16, 3), np.uint8), given, NAMES).row['objects']
    assert [(row['label'], row['category_id'], row['class']) for row in rows] == [(2, 90, 'cow'), (0, 3, 'cat')]
    kept = numbered.options({'classes': ['cat']}, NAMES).write(np.zeros((16, 16, 3), np.uint8), given, NAMES)
    assert [row['category_id'] for row in kept.row['objects']] == [3]
    assert 'category_id' not in SHOW.write(np.zeros((16, 16, 3), np.uint8), given, NAMES).row['objects'][0]


def test_truths_are_drawn_alone_and_counted():
    valid = np.array([True, True, False])
    examples = [
        truth(
            [[0, 0, 4, 8], [4, 4, 6, 8], [0, 0, 0, 0]], [1, 1, 0], box_valid=valid, image=np.zeros((9, 9, 3), np.uint8)
        ),
        truth([], np.zeros(0, int), image=np.zeros((9, 9, 3), np.uint8)),
    ]
    rows = tuple(Shown({'image': example['image']}, SHOW.truth(example)) for example in examples)
    figure = SHOW.draw(Gallery(rows), NAMES)
    assert [axes.get_title() for axes in figure.axes] == ['truth', 'truth']
    assert SHOW.statistics(iter(examples), NAMES) == {
        'objects': '2 in 2 images, 0 to 2, median 1 an image; 1 without any',
        'width, pixels': '2 to 4, median 3',
        'height, pixels': '4 to 8, median 6',
        'height / width': '2 to 2, median 2',
        'box_labels': 'dog 2',
    }
    assert SHOW.statistics(iter(examples[1:]), NAMES) == {'objects': 'none in 1 images'}
