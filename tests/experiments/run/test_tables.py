"""Tables of the launchers and studies."""

from experiments.run import tables


def test_mean_and_error():
    assert tables.mean_and_error([1.0, 2.0, 3.0, 4.0], digits=3) == '2.500 ± 0.645'  # √(5/3) / √4
    assert tables.mean_and_error([-1.0, -2.0], sign='+') == '-1.50 ± 0.50'


def test_one_run_has_a_mean_and_no_error():
    assert tables.mean_and_error([0.5], sign='+') == '+0.50'
