"""Embeddings: the published layouts of faces on small files, and a run from training to names and an exported file."""

import json
import pickle

import cv2
import jax
import numpy as np
import pytest

from experiments import evaluate, export, predict, train
from experiments.embedding import digits_open_set, faces_recordio, folder, lfw
from experiments.run import batches as opening
from experiments.run import workdir
from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.training import train as train_checked
from experiments.run.variables import restore
from jaxcv import training
from jaxcv.data import face_pairs, face_sets

RNG = np.random.default_rng(0)


def jpeg(size):
    return cv2.imencode('.jpg', RNG.integers(0, 256, (size, size, 3), np.uint8))[1].tobytes()


def people(root, counts, size):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(1, count + 1):
            (root / name / f'{name}_{i:04d}.jpg').write_bytes(jpeg(size))


def recordio_files(root):
    face_sets.write_recordio(root / 'train', [jpeg(112) for _ in range(8)], [i // 2 for i in range(8)])
    images = [jpeg(112) for _ in range(40)]
    (root / 'lfw.bin').write_bytes(pickle.dumps((images, [True, False] * 10)))
    settings = faces_recordio.get_config()
    settings.task.num_classes = 4
    return settings


def lfw_files(root):
    people(root / 'train', {'a': 3, 'b': 2, 'c': 2}, 100)
    people(root / 'lfw', {'Ann': 3, 'Bob': 2}, 250)
    folds = ['Ann\t1\t2\nAnn\t1\tBob\t1', 'Bob\t1\t2\nAnn\t3\tBob\t2']
    (root / 'pairs.txt').write_text('2\t1\n' + '\n'.join(folds) + '\n')
    settings = lfw.get_config()
    settings.data.order.update({'identities': 2, 'images': 4})
    return settings


def folder_files(root):
    people(root / 'train', {'a': 3, 'b': 2}, 60)
    people(root / 'test', {'Ann': 3, 'Bob': 3, 'Eve': 1}, 60)
    face_pairs.write_pairs(root / 'test', folds=2, pairs=3)
    settings = folder.get_config()
    settings.data.order.update({'identities': 2, 'images': 4})
    return settings


LAYOUTS = {
    # files: (training images, images of pairs, pixels, names of training)
    recordio_files: (8, 40, 112, {}),
    lfw_files: (7, 8, 160, {'label': ['a', 'b', 'c']}),
    folder_files: (5, 24, 112, {'label': ['a', 'b']}),
}


@pytest.mark.parametrize('files', LAYOUTS, ids=lambda files: files.__name__)
def test_the_layouts_of_faces(files, tmp_path):
    """Those who are verified are others than those of training, and have no names."""
    settings = files(tmp_path)
    settings.data.update({'data_dir': str(tmp_path), 'batch_size': 8, 'eval_batch_size': 8})
    train_size, pairs, size, names = LAYOUTS[files]
    checked = check(settings)
    train_data, evaluation = opening.open_training(checked), opening.open_evaluation(checked)
    facts = opening.facts_of(train_data, evaluation)
    assert (facts.train_size, evaluation.source.size, dict(facts.names)) == (train_size, pairs, names)
    assert facts.example['image']['shape'] == facts.eval_example['image']['shape'] == [size, size, 3]
    assert facts.eval_example.keys() - {'image', 'valid', 'index'} == {'pair', 'same', 'fold'}
    numbers = np.concatenate([batch['pair'][batch['valid']] for batch in evaluation.batches])
    np.testing.assert_array_equal(numbers, np.repeat(np.arange(pairs // 2), 2))


@pytest.mark.slow
@pytest.mark.parametrize('files', LAYOUTS, ids=lambda files: files.__name__)
def test_faces_train_and_are_verified(files, tmp_path, command):
    settings = files(tmp_path)
    settings.data.update({'data_dir': str(tmp_path), 'batch_size': 8, 'eval_batch_size': 8})
    settings.model = {'name': 'embedding.dense_embedder', 'hidden': [4], 'features': 6}
    settings.task.evaluate = [{'name': 'metrics.verification', 'fars': [0.5]}]
    settings.schedule = {'name': 'constant'}
    settings.training.update({'epochs': '3 steps', 'eval_every': 0, 'log_every': 1})
    assert train_checked(check(settings), tmp_path / 'run') == 0
    records = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
    assert 0 <= records[-1]['eval/verification_accuracy'] <= 1
    evaluated = command(evaluate, f'--workdir={tmp_path / "run"}')
    assert evaluated.code == 0, evaluated.err
    assert (tmp_path / 'run' / 'worst_pairs.png').exists()
    assert 'WARNING' not in evaluated.err


@pytest.mark.slow
@pytest.mark.parametrize('loss', ['hinge', 'arcface'])
def test_a_run_from_training_to_names(loss, command, data_dir, tmp_path):
    """Siamese training by config: the head of a loss of classes is trained, saved apart, and in no answer."""
    config = f'--config=embedding/digits_open_set:{loss}'
    run = f'--workdir={tmp_path / "run"}'
    trained = command(train, config, run, f'--config.data.data_dir={data_dir}', '--config.training.epochs=5')
    assert trained.code == 0, trained.err
    checked = workdir.trained(tmp_path / 'run', None)
    experiment = assemble(checked, workdir.facts_of(tmp_path / 'run', checked))
    variables, _ = restore(experiment, tmp_path / 'run', 'last', training.make_mesh(), averaged=False)
    heads = {'centers': (5, 16)} if loss == 'arcface' else {}
    assert {name: x.shape for name, x in variables['params'].pop('class_head', {}).items()} == heads
    batch = opening.zeros(experiment.facts.eval_example)
    assert experiment.task.predict(variables, batch)['embedding'].shape == (1, 16)
    evaluated = command(evaluate, run)
    assert evaluated.code == 0, evaluated.err
    values = json.loads((tmp_path / 'run' / 'evaluation.json').read_text())
    assert values['verification_accuracy'] > 0.55
    for name in ('worst_pairs', 'nearest_neighbors', 'predictions'):
        assert cv2.imread(str(tmp_path / 'run' / f'{name}.png')).shape[1] > 300
    source = opening.open_source(check(digits_open_set.get_config()).data._replace(data_dir=str(data_dir)), 'test')
    for i in range(40):
        example = source.read(i)
        folder = tmp_path / ('people' if i < 25 else 'photos') / f'digit{example["label"]}'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{i}.png').write_bytes(example['image'])
    named = command(predict, run, f'--images={tmp_path / "photos"}', f'--gallery={tmp_path / "people"}')
    assert named.code == 0, named.err
    rows = json.loads((tmp_path / 'run' / 'predicted' / 'predictions.json').read_text())
    assert {row['name'] for row in rows} <= {'unknown', *(path.name for path in (tmp_path / 'people').iterdir())}
    exported = command(export, run, f'--out={tmp_path / "model.stablehlo"}')
    assert exported.code == 0, exported.err
    assert 'image uint8 [n 8 8 1] -> embedding float32 [n 16]' in exported.out
    call = jax.export.deserialize((tmp_path / 'model.stablehlo').read_bytes()).call
    picture = cv2.imread(rows[0]['file'], cv2.IMREAD_GRAYSCALE)
    np.testing.assert_allclose(call(picture[None, ..., None])['embedding'][0], rows[0]['embedding'], atol=1e-5)
