# %% [markdown]
# # Tasks that start tasks: nesting
#
# Three experiments run side by side, and each could use help itself: every one of its steps computes three gradients
# that do not need each other. Nobody outside knows about these steps. So let the experiment, which is a task, start
# tasks of its own.
#
# A task that waits in `get` lends its place to others meanwhile. That is why nesting does not get stuck, however deep
# it goes.
#
# Nine CPUs: three gradients for each of three experiments, which need none themselves while they wait.

# %%
import time

import daybreak

daybreak.init(num_cpus=9, ignore_reinit_error=True)

# %% [markdown]
# ## The inner level
#
# Three steps; each adds three gradients. The steps stay one after the other, as in real training: each builds on the
# last.


# %%
# solution:
@daybreak.remote
# fixme: a gradient runs in a worker, too
# end
def gradient(part):
    time.sleep(0.1)
    return part + 1


assert hasattr(gradient, "remote"), "gradient is a plain function: put @daybreak.remote in the line above its def"


# %%
@daybreak.remote
def train(rate):
    weight = 0
    for _ in range(3):
        # solution:
        parts = daybreak.get([gradient.remote(part) for part in range(3)])
        # fixme: start all three gradients, then wait for them
        # > parts = [daybreak.get(gradient.remote(part)) for part in range(3)]
        # end
        weight += rate * sum(parts)
    return weight


# %% [markdown]
# ## All of it
#
# | | seconds |
# |---|---|
# | everything in a row: 3 experiments, 3 steps, 3 gradients of 0.1 s | 2.7 |
# | experiments side by side, gradients in a row | 0.9 |
# | both side by side | 0.3 |

# %%
start = time.perf_counter()
results = daybreak.get([train.remote(rate) for rate in (1, 2, 3)])
seconds = time.perf_counter() - start
print(f"{results} after {seconds:.2f} s")

assert results == [18, 36, 54], f"three steps of rate * (1 + 2 + 3) give [18, 36, 54], not {results}"
assert seconds >= 0.3, f"{seconds:.2f} s is less than the three steps of one experiment take"
assert seconds < 0.9, f"{seconds:.2f} s: gradients in a row take 0.9 s, side by side 0.3 s: one get for all three"

daybreak.shutdown()
