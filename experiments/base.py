"""A config starts from `base()`, which has all fields with their defaults, and says what differs.

`python -m experiments.list fields` prints them; `experiments/run/fields.py` declares them.
"""

from experiments.run.fields import base

__all__ = ['base']
