"""FaceNet's NN2 by triplets on people's folders, judged by the 6,000 pairs of Labeled Faces in the Wild.

    python -m experiments.train --config=embedding/lfw --workdir=runs/facenet --config.data.data_dir=~/faces

data_dir holds `train/<person>/*.jpg` (CASIA-WebFace, VGGFace2, ...), and of LFW `pairs.txt` and the folder `lfw` (or
`lfw_funneled`). The measure is LFW's: of each of the ten folds the accuracy with the threshold that is best on the
other nine, their mean and standard error, "unrestricted, labeled outside data". A missing file is an error that counts
them: to leave pairs out would shift the folds. LFW's own view 1 is `--config.data.train_split=peopleDevTrain
--config.data.eval_split=pairsDevTest`.

The middle 160 pixels of LFW's 250 are taken, without alignment, and so they should be of the training's images. The
loss and the optimizer are the paper's: squared distances, margin 0.2, semi-hard negatives, AdaGrad; its batches of
45 x 40 images need people with many images, here people with fewer repeat theirs.

NOT RUN HERE: this machine has none of the data. Expected, as published: 98.87 % with such a crop, 99.63 % with
alignment, after 1,000 to 2,000 hours on a cluster, with 100 to 200 million images of 8 million people; with half a
million images of CASIA, 99.05 % by another network and loss (facenet-pytorch). Schroff et al., "FaceNet", 2015.
"""

from ml_collections import ConfigDict

from experiments.base import base

SIZE = 160
IDENTITIES, IMAGES = 45, 40


def get_config() -> ConfigDict:
    """The config."""
    config = base()
    config.data.update(
        {
            'name': 'folder_faces',
            'eval_split': 'pairs',
            'order': {'name': 'identities', 'identities': IDENTITIES, 'images': IMAGES},
            'train_transforms': [
                {'name': 'decode'},
                {'name': 'resize', 'size': 250},
                {'name': 'center_crop', 'size': SIZE},
            ],
            'eval_transforms': [
                {'name': 'decode'},
                {'name': 'resize', 'size': 250},
                {'name': 'center_crop', 'size': SIZE},
            ],
            'batch_size': IDENTITIES * IMAGES,
        }
    )
    config.model = {'name': 'embedding.facenet_nn2', 'dtype': 'bfloat16'}
    config.augment = [{'name': 'random_flip'}]
    config.loss = {'name': 'triplet', 'margin': 0.2, 'mining': 'facenet', 'mean': 'active'}
    config.task = {
        'name': 'embedding',
        'evaluate': [{'name': 'metrics.verification', 'fars': [0.01, 0.001]}],
        'mean': [0.5, 0.5, 0.5],
        'std': [0.5, 0.5, 0.5],
    }
    config.optimizer = {'name': 'adagrad', 'learning_rate': 0.05, 'initial': 0.1}
    config.schedule = {'name': 'linear'}
    config.training.update({'epochs': '200000 steps', 'log_every': 100, 'eval_every': 5000, 'save_every': 1000})
    return config
