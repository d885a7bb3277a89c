"""A space of hyper-parameters of `digits.py` for a random search.

    python -m experiments.search --config=digits --space=digits_space --workdir=runs/search --trials=20 \
        --config.data.train_split='train[:1000]' --config.data.eval_split='train[1000:]'
"""


def get_space() -> dict[str, dict]:
    """The space."""
    return {
        'optimizer.learning_rate': {'name': 'log_uniform', 'low': 1e-3, 'high': 1.0},
        'optimizer.weight_decay': {'name': 'log_uniform', 'low': 1e-6, 'high': 1e-2},
        'optimizer.decay': {'name': 'uniform', 'low': 0.8, 'high': 0.99},
        'model.width': {'name': 'choice', 'of': [16, 32]},
        'loss.label_smoothing': {'name': 'choice', 'of': [0.0, 0.1]},
    }
