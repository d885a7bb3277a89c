"""Write tests/fixtures/embedding/losses.npz: losses and gradients of pytorch-metric-learning 2.9.

    python -m tools.embedding_losses

Needs torch and pytorch-metric-learning; run by hand, its result is committed. The embeddings are of 8 identities with 4
images each, in 6 dimensions; two images are equal. For each loss: its value, and its gradient by the embeddings.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import distances, losses, miners

PATH = Path(__file__).parents[1] / 'tests' / 'fixtures' / 'embedding' / 'losses.npz'


def mined(kind: str, distance: distances.BaseDistance, margin: float) -> Callable[..., torch.Tensor]:
    """Triplet loss of the triplets of a miner with the same margin and distance, averaged over them."""
    miner = miners.TripletMarginMiner(margin=margin, type_of_triplets=kind, distance=distance)
    loss = losses.TripletMarginLoss(margin=margin, distance=distance)
    return lambda x, labels: loss(x, labels, miner(x, labels))


def of_classes(loss: torch.nn.Module, centers: np.ndarray) -> Callable[..., torch.Tensor]:
    """Give a loss of classes the centres `[classes d]`; its own matrix is `[d classes]`."""
    loss.W.data = torch.tensor(centers.T)
    return loss


def main() -> None:
    """Compute and write."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 6)).astype(np.float64)
    x[1] = x[0]
    labels = np.repeat(np.arange(8), 4)
    centers, several = rng.normal(size=(8, 6)), rng.normal(size=(24, 6))
    euclidean, squared = distances.LpDistance(), distances.LpDistance(power=2)
    of = {
        'contrastive': losses.ContrastiveLoss(pos_margin=0.2, neg_margin=1.0),
        'triplet_euclidean': losses.TripletMarginLoss(margin=0.1, distance=euclidean),
        'triplet_squared': losses.TripletMarginLoss(margin=0.2, distance=squared),
        'semi_hard_euclidean': mined('semihard', euclidean, 0.2),
        'semi_hard_squared': mined('semihard', squared, 0.2),
        'hard_euclidean': mined('hard', euclidean, 0.2),
        'arcface': of_classes(
            losses.ArcFaceLoss(num_classes=8, embedding_size=6, margin=28.6478897565, scale=64), centers
        ),
        'cosface': of_classes(losses.CosFaceLoss(num_classes=8, embedding_size=6, margin=0.35, scale=64), centers),
        'subcenter': of_classes(
            losses.SubCenterArcFaceLoss(num_classes=8, embedding_size=6, margin=28.6478897565, scale=64, sub_centers=3),
            several,
        ),
    }
    results = {'x': x, 'labels': labels, 'centers': centers, 'several': several}
    for name, loss in of.items():
        leaf = torch.tensor(x, requires_grad=True)
        value = loss(leaf, torch.tensor(labels))
        value.backward()
        results |= {name: value.detach().numpy(), f'{name}_gradient': leaf.grad.numpy()}
        print(name, float(value))
    PATH.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(PATH, allow_pickle=False, **results)


if __name__ == '__main__':
    main()
