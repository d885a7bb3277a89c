"""Runs that are killed and resumed, in processes of their own. More kills: `python -m tests.kill_and_resume`."""

import pytest

from tests import kill_and_resume


@pytest.mark.slow
def test_broken_runs_end_as_unbroken_ones():
    assert kill_and_resume.main(kills=5, epochs=20.0, seed=1) == 0
