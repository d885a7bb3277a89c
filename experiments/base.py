"""The fields that every config has, with their defaults. A config starts from `base()` and says what differs."""

from ml_collections import ConfigDict, config_dict


def base() -> ConfigDict:
    """All fields of a config. What has a `name` is a call on a package, see `experiments/experiment.py`."""
    return ConfigDict(
        {
            'seed': 0,  # of the parameters, and of all that training draws
            'data': {
                'name': '',  # 'digits', 'folder', or any tfds name: 'cifar10', 'imagenet2012', ...
                'data_dir': config_dict.placeholder(str),  # None: tfds' own default, ~/tensorflow_datasets
                'train_split': 'train',
                'eval_split': 'test',
                'classes': [],  # names of those to keep; none: all
                'mask_classes': [],  # the names of a mask's classes, where the data set has none or others
                'seed': config_dict.placeholder(int),  # of the order of the examples; None: the run's
                'train_transforms': [{'name': 'decode'}],  # jaxcv.data.transforms, on the host, an example at a time
                'eval_transforms': [{'name': 'decode'}],
                'batch_size': 128,  # over all devices of all hosts
                'eval_batch_size': 256,
                'on_broken': 'error',  # an image that can't be read: 'error' names it, 'skip' counts it
                'threads': config_dict.placeholder(int),  # None: one for each core
            },
            'model': {},  # jaxcv.models
            'loss': {'name': 'softmax_cross_entropy'},  # jaxcv.losses
            'augment': [],  # jaxcv.augment, on the device, a batch at a time
            'views': {},  # jaxcv.augment.views, averaged over when tested; none: the image as it is
            'task': {'name': 'classification'},  # jaxcv.tasks
            # In these four, durations may be given as '100 steps', '5 epochs', '64000 examples' or '30%'.
            'optimizer': {},  # jaxcv.optim
            'schedule': {'name': 'constant'},  # jaxcv.optim; it peaks at optimizer.learning_rate
            'average': {},  # jaxcv.optim: polyak, swa or snapshots, evaluated by --averaged; none: nothing is averaged
            'finetune': {
                # The workdir of a trained network; a file of published weights for the same model (.safetensors, .pth,
                # .pt), or 'package:NAME' for the one that an installed package brings. None: random values.
                'start_from': config_dict.placeholder(str),
                'checkpoint': 'last',  # which one of the workdir, or a step
                'source': 'torchvision',  # whose weights the file has: 'torchvision', 'timm', ..., see jaxcv.weights
                'into': '',  # the part of the model that it becomes, such as 'backbone'; none: the whole model
                'new': ['head'],  # layers that start anew
                'rates': {},  # layer -> what its learning rate is multiplied by; 0 freezes it; '*' is all others
                'frozen_until': {},  # layer -> when it starts to learn
            },
            'training': {
                'epochs': 1.0,
                'members': 1,  # networks trained as one program, from the seeds seed, seed + 1, ...
                'patience': 0,  # evaluations without improvement of best_metric after which to stop; 0: none
                'evaluate_averaged': False,  # whether evaluation uses what `average` collected
                'recalibrate_batches': 100,  # to take averaged networks' batch-norm statistics from; an epoch at most
                'accumulate': 1,  # micro-batches a step
                'mode': 'jit',  # or 'pmap'
                'sharding': 'replicate',  # or 'fsdp'
                'on_non_finite': 'stop',  # or 'skip'
                'log_every': 50,  # steps; more often in a run of less than 1,000
                'eval_every': 0,  # steps; 0: at the end only
                'save_every': 500,  # steps, beside those after an evaluation; 0: none
                'keep_last': 2,  # checkpoints
                'keep_best': 1,
                'best_metric': 'top1',
                'best_mode': 'max',
            },
        }
    )
