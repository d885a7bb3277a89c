"""Seeds of host transforms as plain integers: a thousand times cheaper than a NumPy generator for each example."""

__all__ = ['mix', 'uniform']

_STEP = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def mix(seed: int, position: int) -> int:
    """Hash a seed and a position to a 64-bit seed: neighbouring seeds and positions give unrelated ones.

    Args:
        seed: The run's seed.
        position: The example's place in the run's stream.

    Returns:
        An integer in [0, 2^64).

    Example:
        >>> mix(0, 1) == mix(0, 1), mix(0, 1) == mix(1, 0)
        (True, False)
    """
    return _scramble(_scramble(seed + _STEP) + position * _STEP)


def uniform(seed: int) -> tuple[float, int]:
    """Draw from the uniform distribution on [0, 1), and return the seed of the next draw.

    SplitMix64: the seed moves by a fixed odd step, and its scrambled top 53 bits are the number.

    Args:
        seed: An integer in [0, 2^64).

    Returns:
        The number and the next seed.

    Example:
        >>> first, seed = uniform(7)
        >>> second, seed = uniform(seed)
        >>> 0 <= first < 1, first != second
        (True, True)

    Paper: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    seed = (seed + _STEP) & _MASK
    return (_scramble(seed) >> 11) * 2.0**-53, seed


def _scramble(bits: int) -> int:
    bits &= _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return bits ^ (bits >> 31)
