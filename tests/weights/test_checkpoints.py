"""Checkpoints as trainers write them: prefixes, wrappers, averaged weights beside raw ones, shards."""

import json
import zipfile

import jax
import numpy as np
import pytest
from absl import logging

from jaxcv.weights import from_state_dict, load, read_state_dict, save
from jaxcv.weights.files import _files, write_state_dict
from jaxcv.weights.fitting import fit
from jaxcv.weights.layouts import LAYOUTS, Layout
from jaxcv.weights.loading import shapes
from tests.weights.torch_writer import Instance, write

SHAPES = {
    'conv1.weight': (4, 3, 3, 3),
    'bn1.weight': (4,),
    'bn1.running_mean': (4,),
    'fc.weight': (5, 4),
    'fc.bias': (5,),
}
WANTED = {
    'params': {
        'conv': {'kernel': np.zeros((3, 3, 3, 4))},
        'bn': {'scale': np.zeros(4)},
        'head': {'kernel': np.zeros((4, 5)), 'bias': np.zeros(5)},
    },
    'batch_stats': {'bn': {'mean': np.zeros(4)}},
}
OURS = Layout((('conv', 'conv1'), ('bn', 'bn1'), ('head', 'fc')))
THEIRS = Layout((('conv', 'conv_stem'), ('bn', 'norm'), ('head', 'classifier')))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A model of three layers with two sources."""
    monkeypatch.setitem(LAYOUTS, 'tiny', {'torchvision': OURS, 'timm': THEIRS})


@pytest.fixture
def lines(monkeypatch):
    """The lines of the log."""
    found = []
    monkeypatch.setattr(logging, 'warning', lambda text, *values: found.append(text % values))
    return found


def network(seed=0, prefix=''):
    rng = np.random.default_rng(seed)
    return {prefix + name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def fitted(state, **options):
    """The bias of the head, by which networks are told apart."""
    return fit(state, WANTED, 'tiny', 'torchvision', **options)['params']['head']['bias']


PREFIXES = [
    *('model.', 'net.', 'module.', 'backbone.', 'encoder.', 'student.', 'network.', 'base_model.model.'),
    *('module.model.', 'student.backbone.', 'model.backbone.encoder.', 'resnet.', 'feature_extractor.0.'),
]


@pytest.mark.parametrize('prefix', PREFIXES)
def test_a_prefix_of_all_names_is_taken_off_with_a_line(prefix, lines):
    np.testing.assert_array_equal(fitted(network(prefix=prefix)), network()['fc.bias'])
    assert lines == [f'tiny: {prefix!r} is read (before 5 of 5 names)']


def test_names_without_a_prefix_are_read_without_a_word(lines):
    np.testing.assert_array_equal(fitted(network()), network()['fc.bias'])
    assert not lines


@pytest.mark.parametrize('wrapper', ['_orig_mod.', '_fsdp_wrapped_module.', '_checkpoint_wrapped_module.'])
def test_wrappers_of_modules_are_taken_off_wherever_they_stand(tmp_path, lines, wrapper):
    state = {f'{wrapper}{name}'.replace('bn1', f'bn1.{wrapper}'.rstrip('.')): x for name, x in network().items()}
    write_state_dict(state, tmp_path / 'compiled.safetensors')
    found = read_state_dict(tmp_path / 'compiled.safetensors')
    assert found.keys() == SHAPES.keys()
    assert len(lines) == 1
    assert wrapper in lines[0]


WRAPPERS = [
    *('state_dict', 'model_state_dict', 'model', 'params', 'net', 'state', 'network', 'weights', 'module'),
    *('checkpoint/model', 'optimized_model'),
]


@pytest.mark.parametrize('place', WRAPPERS)
def test_the_network_inside_a_checkpoint(tmp_path, lines, place):
    """Beside the optimizer's state, which holds as many arrays, and whatever else the trainer keeps."""
    state = network()
    value = state
    for key in reversed(place.split('/')):
        value = {key: value}
    checkpoint = {
        'epoch': 3,
        **value,
        'optimizer': {'state': {0: {'exp_avg': np.zeros(4, np.float32)}}, 'param_groups': [{'lr': 0.1}]},
        'optimizer_states': [{'state': network(1)}],
        'args': Instance('argparse Namespace', {'lr': 0.1}),
        'hyper_parameters': Instance('omegaconf.dictconfig DictConfig', {'_content': {}}),
        'best': None,
    }
    path = write(tmp_path / 'last.ckpt', checkpoint)
    same(read_state_dict(path), state)
    assert lines == [f'{path}: {place!r} is read']


@pytest.mark.parametrize(
    ('raw', 'average'),
    [
        ('state_dict', 'state_dict_ema'),
        ('model', 'model_ema'),
        ('model', 'ema'),
        ('params', 'params_ema'),
        ('model_state_dict', 'ema_state_dict'),
        ('student', 'teacher'),
        ('model', 'swa_model'),
    ],
)
def test_raw_and_averaged_weights_in_one_file_are_a_choice(tmp_path, lines, raw, average):
    path = write(tmp_path / 'both.pth', {raw: network(1), average: network(2)})
    same(read_state_dict(path), network(1))
    assert lines == [f'{path}: {raw!r} is read, {average!r} left out; averaged=True chooses the averaged weights']
    same(read_state_dict(path, averaged=True), network(2))
    same(read_state_dict(path, part=average), network(2))

    flat = {**network(1, f'{raw}.'), **network(2, f'{average}.module.'), 'n_averaged': np.array(3)}
    del lines[:]
    np.testing.assert_array_equal(fitted(flat), network(1)['fc.bias'])
    assert 'averaged=True chooses' in lines[0]
    assert '1 other arrays are left out: n_averaged' in lines[0]
    np.testing.assert_array_equal(fitted(flat, averaged=True), network(2)['fc.bias'])


def test_averaged_weights_that_are_not_there(tmp_path, lines):
    path = write(tmp_path / 'raw.pth', {'state_dict': network()})
    with pytest.raises(ValueError, match='holds no part of averaged weights'):
        read_state_dict(path, averaged=True)
    with pytest.raises(ValueError, match='no averaged weights of this network'):
        fitted(network(), averaged=True)
    only = write(tmp_path / 'only.pth', {'state_dict_ema': network(2)})
    same(read_state_dict(only), network(2))
    assert lines[-1] == f"{only}: 'state_dict_ema' is read"


def test_several_networks_need_a_choice(tmp_path, lines):
    path = write(tmp_path / 'gan.pth', {'generator': network(1), 'discriminator': network(2)})
    with pytest.raises(ValueError, match=r"several networks, 'generator' \(5 arrays\) and 'discr.* part='generator'"):
        read_state_dict(path)
    same(read_state_dict(path, part='discriminator'), network(2))
    write_state_dict({**network(1, 'a.'), **network(2, 'b.')}, tmp_path / 'two.safetensors')
    same(read_state_dict(tmp_path / 'two.safetensors', part='b'), network(2, ''))
    with pytest.raises(ValueError, match=r"no part 'c': no name begins so; they begin with a, b"):
        read_state_dict(tmp_path / 'two.safetensors', part='c')


def test_a_checkpoint_of_a_model_of_jaxcv(tmp_path, lines):
    """From the file to the variables: a prefix inside a wrapper, beside a loss's own weights."""
    state = network(prefix='model.')
    path = write(tmp_path / 'lightning.ckpt', {'state_dict': {**state, 'criterion.weight': np.ones(5, np.float32)}})
    with pytest.raises(ValueError, match=r'lightning.ckpt: resnet18 from torchvision: .*arrays do not fit: '):
        load('resnet18', path)
    np.testing.assert_array_equal(fitted(read_state_dict(path)), network()['fc.bias'])
    assert "'model.' is read (before 5 of 5 names); 1 other arrays are left out: criterion.weight" in lines[-1]


def test_shards_are_read_together(tmp_path, lines):
    state = network()
    names = list(state)
    files = [f'model-0000{i}-of-00002.safetensors' for i in (1, 2)]
    for file, own in zip(files, (names[:2], names[2:]), strict=True):
        write_state_dict({name: state[name] for name in own}, tmp_path / file)
    index = tmp_path / 'model.safetensors.index.json'
    index.write_text(json.dumps({'weight_map': {name: files[i >= 2] for i, name in enumerate(names)}}))
    for path in (index, tmp_path, tmp_path / files[1], [tmp_path / file for file in files]):
        found = read_state_dict(path)
        assert found.keys() == state.keys()
        np.testing.assert_array_equal(found['fc.weight'], state['fc.weight'])
    with pytest.raises(ValueError, match=r'another of the files holds too: bn1\.weight, conv1\.weight'):
        read_state_dict([tmp_path / files[0]] * 2)
    (tmp_path / files[0]).unlink()
    with pytest.raises(FileNotFoundError, match=r'2 shards, of which 1 are missing: model-00001-of-00002.safetensors'):
        read_state_dict(index)
    index.write_text('[]')
    with pytest.raises(ValueError, match='is no index of a sharded file'):
        read_state_dict(index)


# Failures: the source that fits, the prefix, the counts, then at most twenty names.


def test_names_of_another_source_are_answered_with_that_source():
    names = dict(
        zip(
            SHAPES,
            ('conv_stem.weight', 'norm.weight', 'norm.running_mean', 'classifier.weight', 'classifier.bias'),
            strict=True,
        )
    )
    state = {f'model.{names[name]}': value for name, value in network().items()}
    with pytest.raises(ValueError, match='arrays do not fit') as caught:
        fitted(state)
    first, second, third, *_ = str(caught.value).splitlines()
    assert first == "all names in the file begin with 'model.'."
    assert second == "the names are those of source='timm': 5 of its 5 are there."
    assert third == '10 arrays do not fit: 5 missing, 5 left over; 0 of 5 fit'


def test_a_backbone_given_for_the_whole_network_is_said_to_be_one(monkeypatch):
    whole = Layout(tuple((ours, f'backbone.{theirs}') for ours, theirs in OURS.table))
    monkeypatch.setitem(LAYOUTS, 'tiny', {'torchvision': whole})
    with pytest.raises(ValueError, match=r"the file holds the part 'backbone\.' of the network, not the whole"):
        fitted(network())


@pytest.mark.slow
def test_timms_names_under_torchvision():
    """Of real layouts: an EfficientNet."""
    state = {name: np.zeros(1, np.float32) for name in ('conv_stem.weight', 'bn1.weight', 'blocks.0.0.conv_dw.weight')}
    with pytest.raises(ValueError, match="the names are those of source='timm': 3 of its 311 are there") as caught:
        from_state_dict('efficientnet_b0', state)
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 1 + 20 + 1
    assert lines[-1].startswith('  ... and ')


def test_a_head_of_other_classes_is_answered_with_the_argument():
    state = {**network(), 'fc.weight': np.zeros((7, 4), np.float32)}
    with pytest.raises(ValueError, match='of another shape') as caught:
        fitted(state, hint='fresh_head=key converts all but the head.')
    assert str(caught.value).splitlines()[-1] == 'fresh_head=key converts all but the head.'


def test_values_that_are_not_finite_are_an_error():
    state = network()
    state['fc.bias'][2:4] = np.nan, np.inf
    with pytest.raises(ValueError, match=r'1 not finite.*\n  fc.bias has 2 of 5 values that are NaN or infinite'):
        fitted(state)
    with pytest.raises(ValueError, match='1 not finite'):  # in float32 it is infinite
        fitted({**network(), 'fc.bias': np.full(5, 1e300)})


# Channels.


def test_gray_networks_are_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(0)
    sizes = shapes('resnet18', num_classes=3, channels=1)
    gray = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), sizes)
    assert gray['params']['stem']['conv']['kernel'].shape == (7, 7, 1, 64)
    save('resnet18', gray, tmp_path / 'gray.safetensors')
    found = load('resnet18', tmp_path / 'gray.safetensors', num_classes=3)
    jax.tree.map(np.testing.assert_array_equal, found, gray)


def test_rgb_weights_for_a_gray_network_are_summed_when_asked():
    gray = {**WANTED, 'params': {**WANTED['params'], 'conv': {'kernel': np.zeros((3, 3, 1, 4))}}}
    with pytest.raises(ValueError, match=r'1 for RGB images; .*\n.*sum_channels=True sums its filters'):
        fit(network(), gray, 'tiny', 'torchvision')
    found = fit(network(), gray, 'tiny', 'torchvision', sum_channels=True)['params']['conv']['kernel']
    image = np.random.default_rng(1).normal(size=(3, 3))
    expected = np.einsum('ochw,chw->o', network()['conv1.weight'], np.stack([image] * 3))
    np.testing.assert_allclose(np.einsum('hwio,hw->o', found, image), expected, rtol=1e-5)


def test_weights_for_other_channels_are_said_to_be():
    four = {**network(), 'conv1.weight': np.zeros((4, 4, 3, 3), np.float32)}
    with pytest.raises(
        ValueError, match=r'1 for other channels; (?s:.)* is for images of 4 channels, the network for 3'
    ):
        fitted(four)


def test_a_missing_head_is_answered_with_the_argument():
    state = {name: value for name, value in network().items() if not name.startswith('fc')}
    with pytest.raises(ValueError, match='2 missing') as caught:
        fitted(state, hint='fresh_head=key converts all but the head.')
    assert str(caught.value).splitlines()[-1] == 'fresh_head=key converts all but the head.'
    # a projection in its place is left out with it
    state['fc.0.weight'] = state['fc.2.weight'] = np.ones((4, 4), np.float32)
    assert 'head' not in fit(state, WANTED, 'tiny', 'torchvision', without=('head',))['params']


WRONG_PATHS = {
    'an address': ('https://example.org/resnet18.pth', FileNotFoundError, 'is an address: download'),
    'a state dict': ({'fc.bias': np.zeros(3)}, TypeError, 'got a mapping: from_state_dict takes'),
    'None': (None, TypeError, 'from a file or several, got None'),
    'no files': ([], TypeError, r'from a file or several, got \[\]'),
}


@pytest.mark.parametrize('wrong', WRONG_PATHS)
def test_what_is_no_path_is_one_line(wrong):
    path, kind, message = WRONG_PATHS[wrong]
    with pytest.raises(kind, match=message):
        _files(path)


def test_a_folder_that_is_a_run_or_is_not_there(tmp_path):
    (tmp_path / 'run' / 'checkpoints').mkdir(parents=True)
    with pytest.raises(ValueError, match=r'is the workdir of a run: jaxcv\.training\.read_variables'):
        read_state_dict(tmp_path / 'run')
    with pytest.raises(FileNotFoundError, match='cannot be written: there is no folder'):
        write_state_dict(network(), tmp_path / 'none' / 'a.safetensors')


# Files that are something else.


KINDS = {
    'lfs.pth': (
        b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n',
        'a pointer of Git LFS.*git lfs',
    ),
    'lfs.safetensors': (b'version https://git-lfs.github.com/spec/v1\n', 'a pointer of Git LFS'),
    'page.pth': (b'\n<!doctype html><html>', 'a web page'),
    'page.safetensors': (b'<html><body>404</body>', 'a web page'),
    'denied.pth': (b'Entry not found', "text: 'Entry not found'"),
    'config.json': (b'{"hidden": 3}', 'text: '),
    'keras.h5': (b'\x89HDF\r\n\x1a\n' + bytes(20), 'an HDF5 file'),
    'one.npy': (b'\x93NUMPY\x01\x00', 'one NumPy array'),
    'a.pth.gz': (b'\x1f\x8b\x08\x00' + bytes(10), 'compressed with gzip: unpack'),
    'a.tar': (bytes(257) + b'ustar\x0000', 'a tar archive'),
    'model.onnx': (b'\x08\x07\x12\x07pytorch', 'an ONNX model'),
    'llm.gguf': (b'GGUF\x03\x00\x00\x00', 'a GGUF file'),
    'photo.pth': (b'\xff\xd8\xff\xe0', 'a JPEG image'),
}


@pytest.mark.parametrize('name', KINDS)
def test_a_file_of_another_kind_is_named(tmp_path, name):
    content, kind = KINDS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf'{name} is {kind}'):
        read_state_dict(tmp_path / name)


def test_archives_of_numpy_and_of_files(tmp_path):
    np.savez(tmp_path / 'arrays.npz', a=np.ones(3))
    with pytest.raises(ValueError, match='is a NumPy archive'):
        read_state_dict(tmp_path / 'arrays.npz')
    with zipfile.ZipFile(tmp_path / 'download.zip', 'w') as archive:
        archive.writestr('weights/resnet18.pth', b'')
    with pytest.raises(ValueError, match=r'a zip archive of weights/resnet18.pth: unpack it'):
        read_state_dict(tmp_path / 'download.zip')


def test_the_contents_decide_not_the_suffix(tmp_path):
    state = network()
    write_state_dict(state, tmp_path / 'a.safetensors')
    (tmp_path / 'a.safetensors').rename(tmp_path / 'pytorch_model.bin')
    assert read_state_dict(tmp_path / 'pytorch_model.bin').keys() == state.keys()
    same(read_state_dict(write(tmp_path / 'b.safetensors', state)), state)


def test_a_cut_file_of_safetensors(tmp_path):
    write_state_dict(network(), tmp_path / 'a.safetensors')
    content = (tmp_path / 'a.safetensors').read_bytes()
    (tmp_path / 'a.safetensors').write_bytes(content[:-7])
    with pytest.raises(ValueError, match='it may be cut: get it again'):
        read_state_dict(tmp_path / 'a.safetensors')


def test_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'holds no file of weights \(\*\.safetensors'):
        read_state_dict(tmp_path)
