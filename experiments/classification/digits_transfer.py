"""Transfer learning: a ResNet trained on the digits 0 to 4 learns 5 to 9 from 46 images.

    python -m experiments.train --config=digits_transfer:source --workdir=runs/source
    python -m experiments.train --config=digits_transfer:probe --workdir=runs/probe

`probe` freezes all layers but the head; `unfreeze` does so for the first third of the run, and then trains the backbone
at a tenth of the head's rate; `progressive` gives each stage its own rate, from 0 for the stem; `scratch` starts from
random values; `finetune` trains all layers at one rate.

Measured, seeds 0, 1 and 2, test accuracy in %: scratch 95.8, 94.4, 96.9; finetune 94.4, 93.1, 92.7; unfreeze 93.4, 92.7
(seeds 0 and 2); progressive 93.4, 91.3 (0 and 2); probe 80.9, 78.1 (0 and 2). So transfer does not help
between classes of digits; the config shows its options.
"""

from ml_collections import ConfigDict

from experiments.classification import digits
from jaxcv import optim

LAYERS = ['stem', 'stage1', 'stage2', 'stage3', 'head']
FINETUNE: dict[str, dict] = {
    'probe': {'rates': {'*': 0.0, 'head': 1.0}},
    'unfreeze': {'rates': {'*': 0.1, 'head': 1.0}, 'frozen_until': {'*': '33%', 'head': 0}},
    'progressive': {'rates': optim.progressive_rates(LAYERS, factor=0.5)},
    'finetune': {},
}


def get_config(how: str = 'unfreeze') -> ConfigDict:
    """The config: `how` is source, scratch, finetune, probe, unfreeze or progressive."""
    if how not in {'source', 'scratch', *FINETUNE}:
        raise ValueError(f'digits_transfer.py:{how}: there are source, scratch, {", ".join(FINETUNE)}')
    config = digits.get_config()
    config.data.classes = list('01234') if how == 'source' else list('56789')
    if how != 'source':
        config.data.train_split = 'train[:100]'
        config.data.batch_size = 24
        config.training.update({'epochs': 60.0, 'eval_every': 0})
    if how in FINETUNE:
        config.finetune.update({'start_from': 'runs/source', **FINETUNE[how]})
    return config
