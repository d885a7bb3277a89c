"""Data of one's own through the launchers: several labels an image from a table; what is said of it before training."""

import json

import cv2
import numpy as np
import pytest

from experiments import evaluate, export, look, predict, train
from experiments.run.exits import BAD_INPUT
from experiments.run.fields import Data
from experiments.run.own_data import check_files, class_warnings
from jaxcv import config, data

CORNERS = {'top': np.s_[:4], 'left': np.s_[:, :4], 'grey': np.s_[6:, 6:]}


@pytest.fixture
def table(tmp_path):
    """Images of 8 x 8, of which bright parts have names."""
    rng, rows = np.random.default_rng(0), ['file,tags']
    for i in range(40):
        image, tags = rng.integers(0, 60, (8, 8, 3)).astype(np.uint8), rng.random(3) < [0.5, 0.5, 0.2]
        for has, part in zip(tags, CORNERS.values(), strict=True):
            image[part] += np.uint8(has * 190)
        cv2.imwrite(str(tmp_path / f'{i}.png'), image)
        rows.append(f'{i}.png,{"|".join(name for name, has in zip(CORNERS, tags, strict=True) if has)}')
    (tmp_path / 'labels.csv').write_text('\n'.join(rows))
    return tmp_path / 'labels.csv'


@pytest.fixture
def given(table):
    decode = "[{'name': 'decode'}]"
    return [
        '--config=multi_label/csv',
        f'--config.data.data_dir={table}',
        "--config.data.options={'label': 'tags', 'separator': '|'}",
        f'--config.data.train_transforms={decode}',
        f'--config.data.eval_transforms={decode}',
        '--config.model=linear_classifier',
        '--config.finetune.start_from=None',
        '--config.finetune.rates={}',
        '--config.training.epochs=30.0',
        '--config.training.eval_every=0',
        '--config.optimizer.learning_rate=0.02',
    ]


def test_several_labels_from_table_to_export(command, given, table, tmp_path):
    run = f'--workdir={tmp_path / "run"}'
    trained = command(train, *given, run)
    assert trained.code == 0, trained.err
    assert 'folder_csv: 32 images, 3 classes' in trained.out
    evaluated = command(evaluate, run)
    assert evaluated.code == 0, evaluated.err
    values = json.loads((tmp_path / 'run' / 'evaluation.json').read_text())
    assert values['mean_average_precision'] > 0.95
    assert values['class_images'].keys() == {'top', 'left', 'grey'}
    assert 'class left  ' in evaluated.out
    assert (tmp_path / 'run' / 'predictions.png').exists()
    shown = ['--show=threshold=0.0', f'--output={tmp_path / "out"}']
    predicted = command(predict, run, f'--images={tmp_path / "3.png"}', *shown)
    assert predicted.code == 0, predicted.err
    (row,) = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert {one['class'] for one in row['predictions']} == {'top', 'left', 'grey'}
    exported = command(export, run)
    assert exported.code == 0, exported.err
    assert 'image uint8 [n 8 8 3] -> labels bool [n 3], probabilities float32 [n 3]' in exported.out


def test_what_is_amiss_is_said_before_training(command, given, table, tmp_path):
    for place in (3, 4):
        (tmp_path / f'{place}.png').write_bytes((tmp_path / f'{place}.png').read_bytes()[:-20])
    (tmp_path / '5.png').write_text('<html>')
    every = ['--config.data.train_split=train', '--config.data.eval_split=train[80%:]']
    ended = command(train, *given, *every, f'--workdir={tmp_path / "run"}')
    assert ended.code == BAD_INPUT
    assert "3 of the 40 files of 'train' cannot be read as images: " in ended.err
    assert '5.png: it is a web page (HTML)' in ended.err
    assert not (tmp_path / 'run').exists()


@pytest.mark.slow
def test_a_table_is_looked_at(command, given, tmp_path):
    (tmp_path / '5.png').write_text('<html>')
    looked = command(look, *given, '--config.data.eval_split=nowhere', f'--folder={tmp_path / "look"}')
    assert looked.code == 0, looked.err
    assert 'labels an image' in looked.out
    assert 'evaluation       not there: ' in looked.out
    assert (tmp_path / 'look' / 'after.png').exists()


def test_classes_and_examples_that_are_warned_of():
    names = {'labels': ('a', 'b', 'c')}
    train_split = data.Source(4, dict, 'photos/{}.jpg'.format, names, counts={'labels': [1, 1, 4]})
    part = data.subset(train_split, [2, 3])._replace(counts={'labels': [0, 2, 1]})
    fields = Data()
    assert list(class_warnings(train_split, part, fields)) == [
        '2 of 3 classes have one training example only: a, b',
        "1 of 3 classes has no example in the evaluation split 'test', so nothing is measured of it: a",
        "2 of the 2 examples of 'test' are those of training too ('train'), so the values of the evaluation are too "
        'good: photos/2.jpg',
    ]
    assert not list(class_warnings(train_split._replace(counts={}), part, fields._replace(eval_split=None)))
    broken = train_split._replace(fault=lambda index: 'it is empty' * (index == 2))
    with pytest.raises(
        config.ConfigError, match=r"1 of the 4 files of 'x' .*photos/2\.jpg: it is empty; mend or remove"
    ):
        check_files(fields, broken, 'x')
    check_files(fields._replace(on_broken='skip'), broken, 'x')
