"""Where data meet the launchers: classes by name, numbers without names, orders, warnings, and runs that resume."""

import logging

import cv2
import numpy as np
import pytest

from experiments.base import base
from experiments.run import batches as opening
from experiments.run.assemble import assemble
from experiments.run.check import check
from jaxcv import presentation
from jaxcv.config import ConfigError
from jaxcv.data.sources import Source

HUES = {'ape': (200, 0, 0), 'cat': (0, 200, 0), 'dog': (0, 0, 200)}


def folder(root, split, classes, count=2):
    for name in classes:
        (root / split / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            cv2.imwrite(str(root / split / name / f'{i}.png'), np.full((8, 8, 3), HUES[name][::-1], np.uint8))
    return root


def scenes(root, split, numbers):
    for kind in ('images', 'masks'):
        (root / split / kind).mkdir(parents=True)
    for i in range(4):
        cv2.imwrite(str(root / split / 'images' / f'{i}.png'), np.zeros((4, 4, 3), np.uint8))
        cv2.imwrite(str(root / split / 'masks' / f'{i}.png'), np.resize(np.array(numbers, np.uint8), (4, 4)))
    return root


def checked(root, name='folder', **fields):
    settings = base()
    settings.model, settings.task = {'name': 'linear_classifier'}, {'name': 'classification'}
    settings.optimizer = {'name': 'sgd', 'learning_rate': 0.1}
    masked = [{'name': 'decode_mask'}] if name == 'folder_masks' else []
    settings.data.update({'name': name, 'data_dir': str(root), 'eval_split': 'val', 'batch_size': 2})
    for steps in ('train_transforms', 'eval_transforms'):
        settings.data[steps] = [{'name': 'decode'}, *masked]
    for field, value in fields.items():
        settings.data[field] = value
    return check(settings)


@pytest.fixture
def trained(tmp_path):
    """A config on three classes, and the facts of its run."""
    config = checked(folder(folder(tmp_path / 'own', 'train', HUES), 'val', HUES))
    return config, opening.facts_of(opening.open_training(config), opening.open_evaluation(config))


def hues_of(evaluation, names):
    """The class that the label of each example names, by its hue: [(hue, name)]."""
    rows = [(image, label) for b in evaluation.batches for image, label in zip(b['image'], b['label'], strict=True)]
    return {(tuple(image[0, 0].tolist()), names[label]) for image, label in rows if image.any()}


def test_other_data_are_evaluated_with_the_classes_of_the_run_by_name(trained, tmp_path, caplog):
    config, facts = trained
    elsewhere = folder(tmp_path / 'elsewhere', 'test', ['cat', 'dog'])  # without `train`: it numbers them 0 and 1
    other = config._replace(data=config.data._replace(data_dir=str(elsewhere), eval_split='test'))
    with caplog.at_level(logging.WARNING):
        evaluation = opening.open_evaluation(other, facts)
    assert hues_of(evaluation, facts.names['label']) == {(HUES['cat'], 'cat'), (HUES['dog'], 'dog')}
    (message,) = caplog.messages
    assert 'has the classes cat, dog; they are numbered by their names as in training: ape, cat, dog' in message
    given = other._replace(data=other.data._replace(class_names={'label': ['dog', 'ape']}))
    found = hues_of(opening.open_evaluation(given, facts), facts.names['label'])
    assert found == {(HUES['cat'], 'dog'), (HUES['dog'], 'ape')}


def test_classes_that_the_run_does_not_know_are_refused(trained, tmp_path):
    config, facts = trained
    elsewhere = folder(tmp_path / 'elsewhere', 'test', ['ape', 'cat'])
    (elsewhere / 'test' / 'ape').rename(elsewhere / 'test' / 'emu')
    other = config._replace(data=config.data._replace(data_dir=str(elsewhere), eval_split='test'))
    with pytest.raises(ConfigError, match=r'was trained on ape, cat, dog: there is no class emu .*data\.class_names'):
        opening.open_evaluation(other, facts)


def test_other_classes_may_be_evaluated_than_those_of_training(tmp_path, caplog):
    """Open-set recognition: an embedding is judged by identities that it has never seen."""
    root = folder(folder(tmp_path, 'train', HUES), 'val', HUES)
    config = checked(root, classes=['ape', 'cat'], eval_classes=['dog'])
    training, evaluation = opening.open_training(config), opening.open_evaluation(config)
    facts = opening.facts_of(training, evaluation)
    assert facts.names == {'label': ['ape', 'cat']}
    assert training.source.size == 4
    with caplog.at_level(logging.WARNING):
        again = opening.open_evaluation(config, facts)  # of a trained run
        shown = presentation.labels()
        opening.warn_of(config, shown, again.source, config.data.eval_transforms, again.names, facts)
    assert hues_of(again, again.names['label']) == {(HUES['dog'], 'dog')}
    assert not caplog.messages
    same = checked(root, classes=['ape', 'cat'])
    assert opening.open_evaluation(same).names == {'label': ('ape', 'cat')}


def test_no_warning_is_logged_of_a_runs_own_data(trained, caplog):
    config, facts = trained
    with caplog.at_level(logging.WARNING):
        opening.open_evaluation(config, facts)
    assert not caplog.messages


def test_masks_without_names_are_taken_for_those_of_the_run(tmp_path, caplog):
    root = scenes(tmp_path / 'own', 'train', [0, 1])
    (root / 'classes.txt').write_text('ground\nroof')
    config = checked(root, 'folder_masks', eval_split=None)
    facts = opening.facts_of(opening.open_training(config), opening.open_evaluation(config))
    other = scenes(tmp_path / 'other', 'test', [0, 1, 2])
    data = config.data._replace(data_dir=str(other), eval_split='test')
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match=r'masks.*class 2, but there are 2'):
        opening.open_evaluation(config._replace(data=data), facts)
    assert 'names no classes of mask: its numbers are taken for those of the training: ground, roof' in caplog.text


def test_numbers_beyond_the_networks_classes_are_refused_where_they_have_no_names(tmp_path):
    root = scenes(scenes(tmp_path, 'train', [0, 1]), 'val', [0, 1, 7])
    config = checked(root, 'folder_masks')
    config.settings.model.num_classes = 2
    training = opening.open_training(config)
    assert training.numbered == {'mask': ('0', '1')}
    assert opening.facts_of(training, _evaluated(training)).names == {}
    with pytest.raises(ValueError, match=r'class 7, but there are 2, 0\.\.1'):
        opening.open_evaluation(config)
    config.settings.model.num_classes = 8
    assert opening.open_evaluation(config).names == {}


def _evaluated(training):
    return opening.EvaluationData(training.source, [], {n: x[None] for n, x in training.example.items()}, {})


def test_masks_of_the_evaluation_are_looked_at_too(tmp_path, caplog):
    root = scenes(scenes(tmp_path, 'train', [0, 1]), 'val', [0, 255])
    config = checked(root, 'folder_masks')
    for split, steps, said in (('train', 'train_transforms', 0), ('val', 'eval_transforms', 1)):
        caplog.clear()
        source = opening.open_source(config.data, split)
        with caplog.at_level(logging.WARNING):
            opening.warn_of(config, presentation.masks(), source, getattr(config.data, steps), {})
        assert len(caplog.messages) == said
    assert 'hold 0 and 255 only' in caplog.text
    assert 'val/images/0.png' in caplog.text


def test_one_class_is_refused(tmp_path):
    config = checked(folder(folder(tmp_path, 'train', ['cat']), 'val', ['cat']))
    facts = opening.facts_of(opening.open_training(config), opening.open_evaluation(config))
    with pytest.raises(ConfigError, match="one class of 'label' only, cat"):
        assemble(config, facts)


def test_names_and_their_number_follow_a_renamed_feature(tmp_path):
    config = checked(folder(folder(tmp_path, 'train', HUES), 'val', HUES))
    config = config._replace(data=config.data._replace(
        train_transforms=[{'name': 'decode'}, {'name': 'relabel', 'values': [0, 1, 1], 'feature': 'label'}],
    ))  # fmt: skip
    training = opening.open_training(config)
    assert training.names == {'label': ('ape', 'cat + dog')}
    with pytest.raises(ConfigError, match='the evaluation split has other classes than the training split'):
        opening.facts_of(training, opening.open_evaluation(config))
    same = config._replace(data=config.data._replace(eval_transforms=config.data.train_transforms))
    facts = opening.facts_of(opening.open_training(same), opening.open_evaluation(same))
    assert facts.names == {'label': ['ape', 'cat + dog']}
    assert assemble(same, facts).settings.model.get('num_classes') is None


ORDERS = {
    'class_balanced': ({'name': 'class_balanced'}, {'ape': 12, 'cat': 12}),
    'identities': ({'name': 'identities', 'identities': 2, 'images': 2}, {'ape': 12, 'cat': 12}),
    'shuffled': ({'name': 'shuffled'}, {'ape': 18, 'cat': 6}),
}


@pytest.mark.parametrize('name', ORDERS)
def test_the_order_of_the_examples_is_a_part_of_the_config(name, tmp_path):
    order, expected = ORDERS[name]
    root = folder(folder(tmp_path, 'train', ['ape'], count=6), 'train', ['cat'], count=2)
    config = checked(root, order=order, batch_size=4, eval_split=None)
    batches = opening.train_batches(config.data, opening.open_source(config.data, 'train'), seed=0)
    labels = np.concatenate([next(batches)['label'] for _ in range(6)])
    assert np.bincount(labels).tolist() == list(expected.values())


@pytest.mark.parametrize(
    ('order', 'message'),
    [
        ({'name': 'class_balansed'}, r"data\.order: no 'class_balansed' in .*did you mean class_balanced"),
        ({'name': 'identities', 'images': 2}, "data.order: identities needs the argument 'identities'"),
        ({'name': 'class_balanced', 'groups': 3}, "class_balanced has no argument 'groups'"),
    ],
)
def test_an_order_is_checked_with_the_config(order, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        checked(tmp_path, order=order)


def test_an_order_that_does_not_fit_the_batches_is_refused(tmp_path):
    root = folder(tmp_path, 'train', HUES)
    for sizes, message in (({'identities': 3}, '6 examples, but batch_size is 4'), ({'identities': 9}, 'of 3 identit')):
        config = checked(root, order={'name': 'identities', 'images': 2, **sizes}, batch_size=4)
        with pytest.raises(ConfigError, match=f'data.order: identities: .*{message}'):
            opening.train_batches(config.data, opening.open_source(config.data, 'train'), seed=0)


def test_a_removed_file_is_no_end_of_a_run(tmp_path):
    root = folder(tmp_path, 'train', HUES)
    config = checked(root)

    def start():
        source = opening.open_source(config.data, 'train')
        return opening.data.prefetch(opening.train_batches(config.data, source, seed=0), dict)

    batches = start()
    next(batches)
    state = batches.get_state()
    (root / 'train' / 'dog' / '1.png').unlink()
    with pytest.raises(ConfigError, match=r'saved size is 6, now it is 5; .*--resume_with_changes'):
        opening.resume(start(), state, changes_allowed=False)
    resumed = start()
    opening.resume(resumed, state, changes_allowed=True)
    assert next(resumed)['valid'].all()


def test_class_numbers_of_the_data_sets_own_files_are_kept_with_the_names():
    """But not where a transform has renumbered the classes."""
    example = {'image': np.zeros((4, 4, 3), np.uint8), 'box_labels': np.zeros(2, np.int32)}
    names, ids = {'box_labels': ('cat', 'dog')}, {'box_labels': (17, 18)}
    source = Source(4, lambda index: example, str, names, class_ids=ids)
    batch = {name: x[None] for name, x in example.items()}
    for after, expected in ((names, {'box_labels': [17, 18]}), ({'box_labels': ('dog', 'cat')}, {})):
        training = opening.TrainingData(source, example, after, {})
        facts = opening.facts_of(training, opening.EvaluationData(source, [], batch, after))
        assert facts.class_ids == expected
