"""Facts about data that no test has to open."""

import numpy as np

from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.fields import Facts


def facts(example, *, names, train_size):
    """Facts of examples of these shapes, in training and in evaluation."""
    specs = {name: {'shape': list(np.shape(x)), 'dtype': str(np.asarray(x).dtype)} for name, x in example.items()}
    return Facts(names, train_size, specs, specs)


def assembled(settings, example, *, names, train_size=160):
    """The experiment of a config, without its data."""
    whole = {'valid': np.bool_(True), 'index': np.int32(0), **example}
    return assemble(check(settings), facts(whole, names=names, train_size=train_size))
