import numpy as np

from jaxcv.data.seeds import mix, uniform


def test_seeds_are_even_and_independent():
    draws = np.array([uniform(mix(seed, place))[0] for seed in range(20) for place in range(500)])
    assert abs(draws.mean() - 0.5) < 0.01
    assert abs(draws.std() - 12**-0.5) < 0.01
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.03
    chain, seed = [], mix(0, 0)
    for _ in range(5000):
        draw, seed = uniform(seed)
        chain.append(draw)
    assert abs(np.corrcoef(chain[:-1], chain[1:])[0, 1]) < 0.05
    assert len(set(chain)) == 5000
