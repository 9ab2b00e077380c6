"""Our samplers, by their defaults."""

from daybreak import tune

REQUIREMENTS = []
ENV = {"OPENBLAS_NUM_THREADS": "1"}


def versions():
    return {}


def study(case, seed, objectives):
    made = tune.create_study(
        sampler=getattr(tune.SamplerFactory, case.sampler)(), directions=["minimize"] * objectives, seed=seed
    )
    return made.ask, made.tell
