"""Faster and Mask R-CNN against torchvision's (tools/two_stage_detectors): stages, proposals, heads, losses, masks."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses, models, ops, weights
from jaxcv.weights.convert import COUNTER, correspondence, their_shape, to_state_dict, to_variables
from jaxcv.weights.layouts import layout
from jaxcv.weights.layouts.detection import TORCHVISION_REGIONS, TORCHVISION_REGIONS_V2
from jaxcv.weights.loading import shapes
from tests.weights import two_stage
from tests.weights.detectors import images
from tests.weights.parity import FOLDER, TOLERANCE
from tests.weights.seeded import seeded

FIXTURES = FOLDER.parent / 'detection'
COUNTS = {
    'fasterrcnn_resnet50_fpn': 41_808_406,
    'fasterrcnn_resnet50_fpn_v2': 43_712_278,
    'maskrcnn_resnet50_fpn': 44_454_513,
    'maskrcnn_resnet50_fpn_v2': 46_359_409,
}


LAYOUTS = {1: TORCHVISION_REGIONS, 2: TORCHVISION_REGIONS_V2}


def small(number):
    """The network of torchvision's first or second generation, on ResNet-18 with small heads."""
    masks = {'mask_features': two_stage.MASK_FEATURES, 'mask_depth': two_stage.MASK_DEPTH}
    second = {'neck': 'fpn_norm', 'proposal_depth': 2, 'head': 'conv', 'widths': (two_stage.WIDTH,), 'masks': 'norm'}
    first = {'widths': (two_stage.WIDTH, two_stage.WIDTH), 'masks': 'plain'}
    options = {'num_classes': two_stage.CLASSES - 1, **masks, **(first if number == 1 else second)}
    return models.detection.faster_rcnn(backbone=models.resnet18(), **options)


def fixture(number):
    """(arrays, state dict of seeded weights)."""
    with np.load(FIXTURES / f'two_stage{number}.npz') as file:
        arrays = dict(file)
    named, factors = (json.loads(str(arrays[key])) for key in ('state_dict', 'factors'))
    return arrays, {key: two_stage.scaled(key, seeded(key, tuple(shape)), factors) for key, shape in named.items()}


def closest(found, expected):
    """How far the samples are apart, in standard deviations."""
    places = np.linspace(0, found.size - 1, len(expected)).astype(int)
    return np.abs(np.asarray(found).ravel()[places] - expected).max() / expected.std()


FIRST = 'maskrcnn_resnet50_fpn'
NAMES = [name if name == FIRST else pytest.param(name, marks=pytest.mark.slow) for name in COUNTS]


@pytest.mark.parametrize('name', NAMES)
def test_parameters_and_names(name):
    """The counts of torchvision's, and a layer of ours for each array of theirs."""
    wanted = shapes(name)
    assert sum(x.size for x in jax.tree.leaves(wanted['params'])) == COUNTS[name]
    with np.load(FIXTURES / 'two_stage_names.npz') as file:
        named, count = json.loads(str(file[name])), int(file[f'{name}/parameters'])
    assert count == COUNTS[name]
    ours = {pair.theirs: their_shape(pair) for pair in correspondence(wanted, layout(name, 'torchvision'))}
    assert ours == {key: tuple(shape) for key, shape in named.items() if not key.endswith(COUNTER)}


FROZEN = {'fasterrcnn_resnet50_fpn': 41_755_286, 'maskrcnn_resnet50_fpn': 44_401_393}
"""As torchvision's table has them."""


@pytest.mark.slow
@pytest.mark.parametrize('name', FROZEN)
def test_released_weights_load_under_the_names_of_their_files(name):
    """Without the counters of batch norms that train, and with the names of torchvision before 0.13."""
    with np.load(FIXTURES / 'two_stage_names.npz') as file:
        named = json.loads(str(file[name]))
    state = {key: seeded(key, tuple(shape)) for key, shape in named.items() if not key.endswith(COUNTER)}
    variables = weights.from_state_dict(name, state, frozen_norms=True, norm_epsilon=0.0)
    assert sum(x.size for x in jax.tree.leaves(variables['params'])) == FROZEN[name]
    pattern = re.compile(r'((?:inner|layer)_blocks\.\d)\.0(?=\.)|(rpn\.head\.conv)\.0\.0|mask_head\.(\d)\.0')

    def earlier(found):
        return f'mask_head.mask_fcn{int(found[3]) + 1}' if found[3] else found[1] or found[2]

    old = {pattern.sub(earlier, key): x for key, x in state.items()}
    assert len(old.keys() - state.keys()) == {'f': 18, 'm': 26}[name[0]]
    again = weights.from_state_dict(name, old, frozen_norms=True, norm_epsilon=0.0)
    jax.tree.map(np.testing.assert_array_equal, variables, again)


@pytest.mark.slow
@pytest.mark.parametrize('number', LAYOUTS)
def test_equals_torchvision(number):
    arrays, state = fixture(number)
    model, size = small(number), two_stage.SIZE
    batch = jnp.asarray(images(size))
    wanted = jax.eval_shape(model.init, jax.random.key(0), batch)
    variables = to_variables(state, wanted, LAYOUTS[number])
    back = to_state_dict(variables, LAYOUTS[number])
    assert back.keys() == state.keys()
    assert all((back[key] == state[key]).all() for key in back)
    regions = jnp.stack([jnp.asarray(arrays[f'proposals{i}'][: two_stage.REGIONS]) for i in (0, 1)])
    sampled = jnp.stack([jnp.asarray(arrays[f'regions{i}']) for i in (0, 1)])
    theirs = [arrays[f'proposals{i}'] for i in (0, 1)]

    def everything(module, images):
        stages = module.features(images)
        maps = [x for stage, x in stages.items() if stage.startswith('level')]
        output = module.propose(maps, size)
        both = jnp.concatenate([regions, sampled], axis=1)
        valid = jnp.ones(both.shape[:2], bool)
        heads = module.classify(maps, both, valid), module.masks(maps, both, valid)
        options = {'candidates': 1000, 'most': two_stage.PROPOSALS}
        own = module.select(output, size, **options)
        found = module(images, proposal_options=options, most=two_stage.DETECTIONS)
        return stages, output, own, heads, found

    stages, output, own, heads, found = jax.jit(lambda v: model.apply(v, batch, method=everything))(variables)
    for stage, value in stages.items():
        assert value.shape == tuple(arrays[f'{stage}/shape'])
        assert closest(value, arrays[f'{stage}/sample']) < TOLERANCE, stage
    logits, codes = (jnp.concatenate(part, axis=1) for part in (output.class_logits, output.box_codes))
    anchors = jnp.concatenate(output.anchors)
    assert closest(logits, arrays['proposal_logits/sample']) < TOLERANCE
    assert closest(codes, arrays['proposal_codes/sample']) < TOLERANCE
    assert closest(np.stack([anchors] * 2), arrays['anchors/sample']) < 1e-5
    for i in (0, 1):
        near = np.abs(np.asarray(own.boxes[i])[None] - theirs[i][:, None]).max(axis=-1) < 0.02
        assert near.any(axis=1).mean() > 0.95
        of_heads = {'class_logits': heads[0][0][i], 'box_codes': heads[0][1][i], 'mask_logits': heads[1][i]}
        for part, value in of_heads.items():
            assert closest(value[: two_stage.REGIONS], arrays[f'{part}{i}/sample']) < TOLERANCE, part
        check_detections(found, i, arrays, size)
        of_sampled = [x[two_stage.REGIONS :] for x in of_heads.values()]
        check_losses(model, i, arrays, of_sampled, (logits[i, :, 0], codes[i], anchors), sampled[i])


def check_detections(found, i, arrays, size):
    """As sets: each of theirs has one of ours of the same class, score and box; masks pasted alike."""
    ours = np.concatenate([found.boxes[i], found.scores[i][:, None], found.box_labels[i][:, None] + 1], axis=1)
    theirs = np.concatenate(
        [arrays[f'detections{i}/boxes'], *(arrays[f'detections{i}/{x}'][:, None] for x in ('scores', 'labels'))],
        axis=1,
    )
    apart = np.abs(ours[None] - theirs[:, None])
    alike = (apart[..., :4].max(-1) < 0.05) & (apart[..., 4] < 1e-4) & (apart[..., 5] == 0)
    assert len(theirs) > 5
    assert alike.any(axis=1).mean() > 0.9, alike.any(axis=1).mean()
    expected = arrays[f'detections{i}/masks']
    pasted = np.unpackbits(arrays[f'detections{i}/pasted'])[: len(expected) * size[0] * size[1]]
    for k, mask in enumerate(expected):
        if alike[k].any():
            np.testing.assert_allclose(found.masks[i, alike[k].argmax()], mask, atol=1e-3)
        one = ops.paste_mask(mask, arrays[f'detections{i}/boxes'][k], size=size)
        assert (one != pasted.reshape(-1, *size)[k]).sum() <= 2  # a pixel at 0.5


def check_losses(model, i, arrays, heads, proposals, sampled):
    """The terms of one image; the anchors that are sampled are the first ones, the regions those of the fixture."""
    boxes, labels = (jnp.asarray(x) for x in two_stage.TRUTH[i])
    truth = losses.Truth(boxes, labels.astype(jnp.int32) - 1, jnp.ones(len(boxes), bool))
    expected = {key.partition('/')[2]: float(x) for key, x in arrays.items() if key.startswith(f'loss{i}/')}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, 'uniform', lambda key, shape: jnp.linspace(0, 1, *shape))
        terms = dict(losses.proposal_loss(jax.random.key(0), *proposals, truth, coder=model.coder))
    theirs = arrays[f'regions{i}/labels']
    assert (theirs > 0).any()
    positive = jnp.asarray(theirs > 0)
    drawn = ops.SampledRegions(
        sampled, jnp.asarray(arrays[f'regions{i}/indices']).astype(jnp.int32), positive, jnp.ones(len(sampled), bool)
    )
    class_logits, box_codes, mask_logits = heads
    terms |= losses.region_loss(class_logits, box_codes, drawn, truth, coder=model.region_coder)
    masks = jnp.asarray(two_stage.masks(two_stage.SIZE)[i])
    of_regions = losses.region_labels(drawn.indices, positive, truth.box_labels)
    targets = ops.mask_targets(masks[None], sampled[None], drawn.indices[None], size=28)[0]
    terms['masks'] = losses.mask_loss(mask_logits, targets, of_regions, positive)
    names = {
        'objectness': 'loss_objectness',
        'proposal_boxes': 'loss_rpn_box_reg',
        'classes': 'loss_classifier',
        'boxes': 'loss_box_reg',
        'masks': 'loss_mask',
    }
    assert sorted(expected) == sorted(names.values())
    for ours, theirs_name in names.items():
        np.testing.assert_allclose(terms[ours], expected[theirs_name], rtol=2e-4, atol=1e-6, err_msg=ours)
