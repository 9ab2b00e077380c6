"""Tuning of parameters: search, early stopping, populations, resume.

>>> from daybreak import tune
>>> lr = tune.Distribution.real(1e-5, 1e-1, log=True)
>>> lr.drawn(seed=0, trial=3, name="lr") == lr.drawn(seed=0, trial=3, name="lr")
True
"""

from daybreak._core.tune import Distribution

__all__ = ["Distribution"]
