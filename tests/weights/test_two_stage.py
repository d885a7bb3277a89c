"""Faster and Mask R-CNN against torchvision's (tools/two_stage_detectors): stages, proposals, heads, losses, masks."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcv import losses, models, ops, weights
from jaxcv.weights.convert import COUNTER, correspondence, their_shape, to_state_dict, to_variables
from jaxcv.weights.layouts import layout
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


def fixture(name):
    """(arrays, state dict of seeded weights)."""
    with np.load(FIXTURES / f'{name}.npz') as file:
        arrays = dict(file)
    named, factors = (json.loads(str(arrays[key])) for key in ('state_dict', 'factors'))
    return arrays, {key: two_stage.scaled(key, seeded(key, tuple(shape)), factors) for key, shape in named.items()}


def closest(found, expected):
    """How far the samples are apart, in standard deviations."""
    places = np.linspace(0, found.size - 1, len(expected)).astype(int)
    return np.abs(np.asarray(found).ravel()[places] - expected).max() / expected.std()


OF_MASKS = [name if 'mask' in name else pytest.param(name, marks=pytest.mark.slow) for name in COUNTS]


@pytest.mark.parametrize('name', OF_MASKS)
def test_parameters_and_names(name):
    """The counts of torchvision's, and a layer of ours for each array of theirs."""
    wanted = shapes(name)
    assert sum(x.size for x in jax.tree.leaves(wanted['params'])) == COUNTS[name]
    with np.load(FIXTURES / f'{name}.npz') as file:
        named, count = json.loads(str(file['state_dict'])), int(file['parameters'])
    assert count == COUNTS[name]
    ours = {pair.theirs: their_shape(pair) for pair in correspondence(wanted, layout(name, 'torchvision'))}
    assert ours == {key: tuple(shape) for key, shape in named.items() if not key.endswith(COUNTER)}


@pytest.mark.slow
@pytest.mark.parametrize('name', COUNTS)
def test_equals_torchvision(name):
    arrays, state = fixture(name)
    variables = weights.from_state_dict(name, state)
    model, size = getattr(models.detection, name)(), two_stage.SIZES[name]
    regions = jnp.stack([jnp.asarray(arrays[f'proposals{i}'][: two_stage.REGIONS]) for i in (0, 1)])
    sampled = jnp.stack([jnp.asarray(arrays[f'regions{i}']) for i in (0, 1)])
    theirs = jnp.stack([jnp.asarray(arrays[f'proposals{i}'][:50]) for i in (0, 1)])

    def everything(module, images):
        stages = module.features(images)
        maps = [x for stage, x in stages.items() if stage.startswith('level')]
        output = module.propose(maps, size)
        valid = jnp.ones(regions.shape[:2], bool)
        heads = {
            'heads': module.classify(maps, regions, valid),
            'sampled': module.classify(maps, sampled, jnp.ones(sampled.shape[:2], bool)),
        }
        if module.mask_head is not None:
            heads['masks'] = module.masks(maps, regions, valid)
            heads['sampled_masks'] = module.masks(maps, sampled, jnp.ones(sampled.shape[:2], bool))
        options = {'candidates': 1000, 'most': two_stage.PROPOSALS}
        own = module.select(output, size, **options)
        found = module(images, proposal_options=options)
        return stages, output, own, heads, found

    batch = jnp.asarray(images(size))
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
        near = np.abs(np.asarray(own.boxes[i])[None] - np.asarray(theirs[i])[:, None]).max(axis=-1) < 0.02
        assert near.any(axis=1).mean() > 0.95
        for part, value in zip(('class_logits', 'box_codes'), heads['heads'], strict=True):
            assert closest(value[i], arrays[f'{part}{i}/sample']) < TOLERANCE, part
        if 'masks' in heads:
            assert closest(heads['masks'][i], arrays[f'mask_logits{i}/sample']) < TOLERANCE
        check_detections(found, i, arrays, size)
        check_losses(model, i, arrays, heads, (logits[i, :, 0], codes[i], anchors), sampled[i], size)


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
    assert alike.any(axis=1).mean() > 0.97, alike.any(axis=1).mean()
    if found.masks is not None:
        expected = arrays[f'detections{i}/masks']
        pasted = np.unpackbits(arrays[f'detections{i}/pasted'])[: len(expected) * size[0] * size[1]]
        for k, mask in enumerate(expected):
            if alike[k].any():
                np.testing.assert_allclose(found.masks[i, alike[k].argmax()], mask, atol=1e-3)
            one = ops.paste_mask(mask, arrays[f'detections{i}/boxes'][k], size=size)
            assert (one != pasted.reshape(-1, *size)[k]).sum() <= 2  # a pixel at 0.5


def check_losses(model, i, arrays, heads, proposals, sampled, size):
    """The terms of one image; the anchors and regions that are sampled are the first ones."""
    boxes, labels = (jnp.asarray(x) for x in two_stage.TRUTH[i])
    truth = losses.Truth(boxes, labels.astype(jnp.int32) - 1, jnp.ones(len(boxes), bool))
    expected = {key.partition('/')[2]: float(x) for key, x in arrays.items() if key.startswith(f'loss{i}/')}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, 'uniform', lambda key, shape: jnp.linspace(0, 1, *shape))
        terms = dict(losses.proposal_loss(jax.random.key(0), *proposals, truth, coder=model.coder))
        chosen = ops.sample_regions(
            jax.random.key(0),
            *(sampled, jnp.ones(len(sampled), bool), boxes, jnp.ones(len(boxes), bool)),
            count=two_stage.SAMPLED,
        )
    theirs = arrays[f'regions{i}/labels']
    assert int(chosen.positive.sum()) >= int((theirs > 0).sum()) > 0
    positive = jnp.asarray(theirs > 0)
    drawn = ops.SampledRegions(
        sampled, jnp.asarray(arrays[f'regions{i}/indices']).astype(jnp.int32), positive, jnp.ones(len(sampled), bool)
    )
    output = jax.tree.map(lambda x: x[i], heads['sampled'])
    terms |= losses.region_loss(output.class_logits, output.box_codes, drawn, truth, coder=model.region_coder)
    names = {
        'objectness': 'loss_objectness',
        'proposal_boxes': 'loss_rpn_box_reg',
        'classes': 'loss_classifier',
        'boxes': 'loss_box_reg',
    }
    if 'sampled_masks' in heads:
        masks = jnp.asarray(two_stage.masks(size)[i])
        of_regions = losses.region_labels(drawn.indices, positive, truth.box_labels)
        targets = ops.mask_targets(masks[None], sampled[None], drawn.indices[None], size=28)[0]
        terms['masks'] = losses.mask_loss(heads['sampled_masks'][i], targets, of_regions, positive)
        names['masks'] = 'loss_mask'
    assert sorted(expected) == sorted(names.values())
    for ours, theirs_name in names.items():
        np.testing.assert_allclose(terms[ours], expected[theirs_name], rtol=2e-4, atol=1e-6, err_msg=ours)


@pytest.mark.slow
@pytest.mark.parametrize('name', COUNTS)
def test_state_dicts_come_back(name):
    _, state = fixture(name)
    found, wanted = layout(name, 'torchvision'), shapes(name)
    back = to_state_dict(to_variables(state, wanted, found), found)
    assert sorted(back) == sorted(state)
    assert all((back[key] == state[key]).all() for key in back)
