"""What a step needs, from shapes alone."""

import jax
import pytest

from experiments.classification import digits
from experiments.run import planning
from experiments.run.assemble import assemble
from experiments.run.check import check
from experiments.run.search.space import apply
from jaxcv import training
from jaxcv.config import ConfigError
from jaxcv.training.performance import Cost


def test_all_that_is_wrong_with_the_shapes_is_told_at_once():
    with pytest.raises(ConfigError) as found:
        planning.facts_of_shapes(check(digits.get_config()), {'left': [540, 960], 'flows': [4], 'disparity': [0, 9]})
    left, flow, disparity = str(found.value).split('; ')
    assert left == '--example: left has the axes [h w c], got [540, 960]'
    assert flow.startswith("no feature 'flows', did you mean flow")
    assert disparity == 'disparity has the axes [h w], got [0, 9]'


def test_a_step_that_does_not_fit_is_told():
    assert planning.described(Cost(1.0, 0.0, 2**30)) == ', 1 GiB of memory a step and device'
    assert '24 GiB' in planning.excess(24 * 2**30, 16 * 2**30)
    for needed, there in ((None, 1), (1, None), (5, 5)):
        assert not planning.excess(needed, there)
    assert planning.memory_of(jax.devices()[0]) > 2**20


@pytest.mark.slow
def test_the_cost_of_a_step_without_data():
    names = {'label': [str(digit) for digit in range(10)]}
    checked = check(apply(digits.get_config(), {'data.class_names': names}))
    experiment = assemble(checked, planning.facts_of_shapes(checked, {'image': [8, 8, 1], 'label': []}))
    costs = []
    for count in (1, 8):
        parameters, cost = planning.cost_of(experiment, training.make_mesh(jax.devices()[:count]))
        costs.append(cost)
    assert parameters == sum(
        x.size for x in jax.tree.leaves(jax.eval_shape(experiment.task.init, *example())['params'])
    )
    assert costs[0].memory > 2 * 4 * parameters  # and the velocities
    assert costs[1].memory < costs[0].memory


def example():
    """A key and a batch."""
    batch = {'image': jax.ShapeDtypeStruct((1, 8, 8, 1), 'uint8'), 'label': jax.ShapeDtypeStruct((1,), 'int32')}
    return jax.random.key(0), {**batch, 'valid': jax.ShapeDtypeStruct((1,), 'bool')}
