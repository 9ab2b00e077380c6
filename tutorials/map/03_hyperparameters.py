# %% [markdown]
# # Hyper-parameters over folds
#
# Which setting of a classifier is best, and is the difference more than luck? Fit each setting on several splits of the data:
# settings times splits are calls of one map.
#
# This is the notebook of RISECamp 2018, with scikit-learn.

# %%
import itertools
import statistics

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import daybreak
from daybreak import map as dmap

daybreak.init(num_cpus=4, ignore_reinit_error=True)
executor = dmap.executor(logs=True)

data = load_breast_cancer()
splits = [train_test_split(data["data"], data["target"], test_size=0.4, random_state=i) for i in range(5)]
settings = [{"C": 10.0}, {"C": 1.0}, {"C": 0.1}]

# %% [markdown]
# ## One call
#
# It gets a split and a setting, fits a pipeline, and gives how often it is right on what it has not seen.


# %%
def scored(args):
    (x_train, x_test, y_train, y_test), setting = args
    pipeline = Pipeline([("standardize", StandardScaler()), ("learn", SVC(**setting))])
    pipeline.fit(x_train, y_train)
    return pipeline.score(x_test, y_test)


# %% [markdown]
# ## All of them
#
# `itertools.product(splits, settings)` are all pairs.

# %%
# solution:
calls = executor.map(scored, list(itertools.product(splits, settings)))
# fixme: map it over all pairs of a split and a setting
# > calls = executor.map(scored, [])
# end
scores = dmap.get_all_results(calls)
assert len(scores) == 15, f"5 splits times 3 settings are 15 scores, not {len(scores)}"

# %% [markdown]
# ## The best
#
# Scores come in the order of the pairs: the three settings of the first split, those of the second, ...

# %%
# solution:
of_setting = [scores[place :: len(settings)] for place in range(len(settings))]
# fixme: of each setting, its five scores
# > of_setting = [[0.0]] * 3
# end
for setting, of_one in zip(settings, of_setting, strict=True):
    print(setting, f"{statistics.mean(of_one):.3f} +- {statistics.pstdev(of_one):.3f}")
best = max(settings, key=lambda setting: statistics.mean(of_setting[settings.index(setting)]))
assert best["C"] >= 1.0 and statistics.mean(of_setting[settings.index(best)]) > 0.95, f"not {best}"

# %% [markdown]
# ## Where the time went

# %%
print(executor.summary(calls))
# solution:
slowest = max(calls.futures(), key=lambda future: future.status["exec_time"])
# fixme: the call that took longest: a future's status has its exec_time
# > slowest = None
# end
assert slowest is not None, "the future of the call that took longest is wanted"
assert all(future.status["exec_time"] <= slowest.status["exec_time"] for future in calls.futures())
print(f"call {slowest.index} took {slowest.status['exec_time']:.3f} s")
executor.close()
