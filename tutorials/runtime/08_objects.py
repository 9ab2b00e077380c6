# %% [markdown]
# # Large values, sent once: objects
#
# Arguments travel to the worker with the call. For a number that is nothing. For an array of 8 MB that goes to ten
# tasks it is ten copies of the same bytes.
#
# `ref = daybreak.put(value)` stores a value once, in memory that all workers share. Pass the reference as often as you
# like: a task gets an array as a **view** of those bytes, without a copy. And since all see the same bytes, nobody may
# write to them: the view is read-only.

# %%
import time

import numpy as np

import daybreak

daybreak.init(num_cpus=2, ignore_reinit_error=True)

weights = np.arange(1_000_000, dtype=np.float64)  # 8 MB


@daybreak.remote
def score(weights, i):
    return float(weights[i]), weights.flags.owndata, weights.flags.writeable


# %% [markdown]
# ## Store it once

# %%
start = time.perf_counter()
daybreak.get([score.remote(weights, i) for i in range(10)])
print(f"sent ten times: {1000 * (time.perf_counter() - start):.1f} ms")

# solution:
stored = daybreak.put(weights)
# fixme: store the array once
# > stored = weights
# end

start = time.perf_counter()
results = daybreak.get([score.remote(stored, i) for i in range(10)])
print(f"stored once:    {1000 * (time.perf_counter() - start):.1f} ms")

# %%
assert isinstance(stored, daybreak.ObjectRef), (
    f"stored is of type {type(stored).__name__}: daybreak.put gives a reference"
)
assert [value for value, _, _ in results] == list(range(10)), f"weights[i] is i, not {results}"
assert not any(own or writeable for _, own, writeable in results), (
    "a task has a copy of its own, not a view of the stored bytes"
)

# %% [markdown]
# ## To change it, copy it
#
# Writing to a view raises `ValueError`. That is no accident: otherwise one task would change what another is reading.
# Who wants to change an array makes a copy, and gives the new one back.


# %%
@daybreak.remote
def shifted(weights):
    # solution:
    weights = weights.copy()
    # fixme: make a copy that may be written to
    # end
    weights += 1
    return weights


try:
    moved = daybreak.get(shifted.remote(stored))
except ValueError as error:
    moved = error

assert isinstance(moved, np.ndarray), (
    f"shifted raised {str(moved).splitlines()[-1]!r}: copy the array before you write to it"
)
assert moved[0] == 1 and moved[-1] == 1_000_000, f"each number grows by one, but the first is {moved[0]}"
assert daybreak.get(stored)[0] == 0, "the stored array must be as it was"

daybreak.shutdown()
