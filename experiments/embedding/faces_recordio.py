"""ArcFace on aligned faces of 112 x 112 pixels, packed as insightface packs them; judged by LFW's pairs.

    python -m experiments.train --config=embedding/faces_recordio --workdir=runs/ms1mv3 --config.data.data_dir=~/ms1mv3
    python -m experiments.train --config=embedding/faces_recordio:casia_r50 --workdir=runs/casia ...

data_dir holds `train.rec`, `train.idx` and `lfw.bin`; other sets that lie beside them are evaluated by
`--config.data.eval_split=cfp_fp` or `agedb_30`. MXNet is not needed. After the colon stands one of the RECIPES, and the
number of identities is the first one of the file `property`. The class matrix is sharded over the devices by
`--config.training.sharding=fsdp`; with more identities, train on a part of them (`--config.task.sample_classes`).

Identities and images of the packed sets: MS1MV3 93,431 and 5,179,510; MS1MV2 (`faces_emore`) 85,742 and 5,822,653;
CASIA (`faces_webface_112x112`) 10,572 and 490,623, of the 10,575 people of CASIA-WebFace. These numbers are those of
public configs for these files; in another version `property` decides.

The embedding of an image is added to that of its mirror image. NOT RUN HERE: this machine has none of the data.
Expected, as published:

    ms1mv3_r50    insightface: IJB-C, TAR 96.37 % at FAR 1e-4, 94.47 % at 1e-5
    ms1mv2_r100   the paper: LFW 99.83 %, CALFW 95.45 %, CPLFW 92.08 %, IJB-C 95.6 % at 1e-4
    casia_r50     no network of this kind is published with these files; Inception-ResNet-v1 on CASIA has 99.05 % on LFW

`ms1mv3_r50` is insightface's recipe, whose gradient takes the margin for a constant ('straight_through'); it clips the
gradient of the backbone, here that of all layers is clipped. The others are the paper's. Deng et al., "ArcFace", 2019.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.base import base


class Recipe(NamedTuple):
    """What differs."""

    model: str
    identities: int
    batch_size: int
    length: float | str
    schedule: dict[str, Any]
    clip_norm: float | None = None
    gradient: str = 'exact'


RECIPES: dict[str, Recipe] = {
    'ms1mv3_r50': Recipe('iresnet50', 93_431, 1024, 20.0, {'name': 'linear'}, 5.0, 'straight_through'),
    'ms1mv2_r100': Recipe(
        'iresnet100', 85_742, 512, '180000 steps', {'name': 'multi_step', 'steps': [100_000, 160_000]}
    ),
    'casia_r50': Recipe('iresnet50', 10_572, 512, '32000 steps', {'name': 'multi_step', 'steps': [20_000, 28_000]}),
}


def get_config(recipe: str = 'ms1mv3_r50') -> ConfigDict:
    """The config with one of the RECIPES."""
    if recipe not in RECIPES:
        raise ValueError(f'there is no recipe {recipe!r}; there are: {", ".join(RECIPES)}')
    own, config = RECIPES[recipe], base()
    config.data.update({'name': 'recordio', 'eval_split': 'lfw', 'batch_size': own.batch_size})
    config.model = {'name': f'embedding.{own.model}', 'dtype': 'bfloat16'}
    config.augment = [{'name': 'random_flip'}]
    config.loss = {'name': 'margin_softmax', 'm2': 0.5, 'scale': 64.0, 'gradient': own.gradient}
    config.task = {
        'name': 'embedding',
        'num_classes': own.identities,
        'mirror': True,
        'evaluate': [{'name': 'metrics.verification', 'fars': [0.01, 0.001]}],
        'mean': [0.5, 0.5, 0.5],
        'std': [0.5, 0.5, 0.5],
    }
    config.optimizer = {'name': 'momentum', 'learning_rate': 0.1, 'weight_decay': 5e-4, 'form': 'pytorch'}
    if own.clip_norm:
        config.optimizer['clip_norm'] = own.clip_norm
    config.schedule = own.schedule
    config.training.update({'epochs': own.length, 'log_every': 200, 'eval_every': 5000, 'save_every': 5000})
    return config
