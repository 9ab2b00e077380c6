# %% [markdown]
# # Four things at once: tasks
#
# Four calls of a second each take four seconds, although the machine may have nothing else to do: Python waits for the
# first before it begins the second. A **task** is a call that does not make you wait. It runs in another process, a
# *worker*, and what you get back at once is a *reference* to a result that is still being made.
#
# | you write | and it |
# |---|---|
# | `@daybreak.remote` above a function | lets the function run in a worker |
# | `ref = f.remote(x)` | starts it there, and returns at once |
# | `daybreak.get(ref)` | waits for the result and returns it |
#
# `num_cpus=4` says how many tasks may run at once. It need not be the number of your cores: a task that sleeps, or
# waits for a disk, needs none.

# %%
import time

import daybreak

daybreak.init(num_cpus=4, ignore_reinit_error=True)

# %% [markdown]
# ## Let the function run elsewhere
#
# `slow` stands for anything that takes a second.


# %%
# solution:
@daybreak.remote
# fixme: one line above the function lets it run in a worker
# end
def slow(i):
    time.sleep(1)
    return i


assert hasattr(slow, "remote"), "slow is a plain function: put @daybreak.remote in the line above its def"

# %% [markdown]
# ## Start all, then wait
#
# A loop that starts a task and waits for it, before it starts the next, wins nothing. Start all four first. `get` takes
# a list of references, too, and gives their results in the order of the list.

# %%
start = time.perf_counter()

# solution:
refs = [slow.remote(i) for i in range(4)]
results = daybreak.get(refs)
# fixme: start all four before you wait for the first
# > results = [daybreak.get(slow.remote(i)) for i in range(4)]
# end

seconds = time.perf_counter() - start
print(f"{results} after {seconds:.2f} s")

# %% [markdown]
# One after the other takes 4 s, all at once 1 s and a few milliseconds.

# %%
assert results == [0, 1, 2, 3], f"the results of slow(0) to slow(3), in this order, not {results}"
assert seconds >= 1, f"{seconds:.2f} s is less than one call takes: did slow run at all?"
assert seconds < 3, (
    f"{seconds:.2f} s: they ran one after the other (4 s), not side by side (1 s): call get once, at the end"
)

daybreak.shutdown()
