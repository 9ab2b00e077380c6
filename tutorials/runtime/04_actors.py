# %% [markdown]
# # Something that remembers: actors
#
# A task forgets everything when it ends. A simulator, a connection or a model that took a minute to load should not be
# made anew for each call. An **actor** is an object that lives in a process of its own and keeps its attributes between
# calls.
#
# | you write | and it |
# |---|---|
# | `@daybreak.remote` above a class | lets its objects live in workers |
# | `counter = Counter.remote(10)` | makes one there and gives you a *handle* |
# | `ref = counter.add.remote(1)` | calls a method there, and returns at once |
#
# The calls that you make on one actor run one at a time, in the order in which you made them: no locks are needed. Two
# actors run side by side.

# %%
import time

import daybreak

daybreak.init(num_cpus=4, ignore_reinit_error=True)

# %% [markdown]
# ## A class that lives elsewhere


# %%
# solution:
@daybreak.remote
# fixme: what lets a function run in a worker lets an object live in one
# end
class Counter:
    def __init__(self, start):
        self.value = start

    def add(self, amount):
        time.sleep(0.5)
        self.value += amount
        return self.value


assert hasattr(Counter, "remote"), "Counter is a plain class: put @daybreak.remote in the line above it"

# %% [markdown]
# ## Two at once
#
# Five calls of 0.5 s on each of two counters. One actor needs 2.5 s for its five, and so do two; ten calls in a row
# need 5 s.

# %%
# solution:
counters = [Counter.remote(0), Counter.remote(100)]
# fixme: make two actors, one that starts at 0 and one that starts at 100
# > counters = [Counter.remote(0)] * 2
# end

start = time.perf_counter()

# solution:
refs = [counter.add.remote(1) for counter in counters for _ in range(5)]
values = daybreak.get(refs)
# fixme: make all ten calls before you wait
# > values = [daybreak.get(counter.add.remote(1)) for counter in counters for _ in range(5)]
# end

seconds = time.perf_counter() - start
print(f"{values} after {seconds:.2f} s")

# %%
assert values[:5] == [1, 2, 3, 4, 5], f"the first counter counts from 1 to 5, not {values[:5]}"
assert values[5:] == [101, 102, 103, 104, 105], (
    f"the second counts from 101 to 105, not {values[5:]}: make it an actor of its own"
)
assert seconds >= 2.5, f"{seconds:.2f} s is less than the five calls of one actor take"
assert seconds < 4.5, f"{seconds:.2f} s: the actors took turns (5 s) instead of working side by side (2.5 s)"

daybreak.shutdown()
