"""Optuna's samplers, by their defaults."""

import warnings

import cmaes
import optuna
import torch

REQUIREMENTS = ["optuna==5.0.0", "cmaes==0.13.1", "scipy==1.17.1", "torch==2.13.0"]
ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore")
SAMPLERS = {"tpe": "TPESampler", "cmaes": "CmaEsSampler", "nsga2": "NSGAIISampler", "gp": "GPSampler"}


def versions():
    return {"optuna": optuna.__version__, "cmaes": cmaes.__version__, "torch": torch.__version__}


def study(case, seed, objectives):
    sampler = getattr(optuna.samplers, SAMPLERS[case.sampler])(seed=seed)
    made = optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
    return made.ask, made.tell
