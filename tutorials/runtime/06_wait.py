# %% [markdown]
# # The first that are ready: wait
#
# Ask six servers, and take the three answers that come first. `get` cannot do that: it waits for all that you name.
# `wait` can:
#
#     ready, rest = daybreak.wait(refs, num_returns=3)
#
# returns as soon as three are ready, and says which. What is still running goes on; with `timeout=` seconds it returns
# at the latest then, with fewer perhaps.

# %%
import time

import daybreak

daybreak.init(num_cpus=6, ignore_reinit_error=True)


@daybreak.remote
def ask(seconds):
    time.sleep(seconds)
    return seconds


# %% [markdown]
# ## Three of six
#
# The third answer comes after 0.8 s, the last after 2.4 s; asked one after the other, they would take 8.3 s.

# %%
start = time.perf_counter()
refs = [ask.remote(seconds) for seconds in (2.4, 0.4, 2.0, 0.8, 2.1, 0.6)]

# solution:
ready, rest = daybreak.wait(refs, num_returns=3)
# fixme: return when three are ready, whichever they are
# > ready, rest = daybreak.wait(refs, num_returns=1)
# end

seconds = time.perf_counter() - start

# %%
assert (len(ready), len(rest)) == (3, 3), (
    f"{len(ready)} ready and {len(rest)} left: wait for three, num_returns= says how many"
)

# %% [markdown]
# The references that are ready can be had without waiting; they stand in the order in which you gave them.

# %%
# solution:
answers = daybreak.get(ready)
# fixme: the answers of those that are ready
# > answers = daybreak.get(refs)
# end

seconds = time.perf_counter() - start
print(f"{answers} after {seconds:.2f} s")

assert answers == [0.4, 0.8, 0.6], f"the three quickest, in the order of the list, are [0.4, 0.8, 0.6], not {answers}"
assert seconds >= 0.8, f"{seconds:.2f} s is less than the third answer takes"
assert seconds < 2, f"{seconds:.2f} s: that is too long for three answers (0.8 s): all six take 2.4 s"

daybreak.shutdown()
