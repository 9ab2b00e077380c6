# %% [markdown]
# # Count a file that is too large for one
#
# A log says how often pages of an encyclopedia were read: language, title, views. Which are read most?
#
# The file is cut into parts that each call reads by itself, so that nothing large goes through this process; a last call
# adds up.

# %%
import random
import tempfile
from collections import Counter
from pathlib import Path

import daybreak
from daybreak import map as dmap

daybreak.init(num_cpus=4, ignore_reinit_error=True)
executor = dmap.executor()

log = Path(tempfile.mkdtemp(), "views.log")
draw = random.Random(0)
titles = [f"Page_{i}" for i in range(200)]
with log.open("w") as file:
    for _ in range(100_000):
        file.write(f"en {titles[min(int(draw.expovariate(0.02)), 199)]} {draw.randint(1, 9)}\n")
print(f"{log.stat().st_size:,} bytes")

# %% [markdown]
# ## Parts
#
# `dmap.partition(file, size_bytes=...)` cuts it. An edge falls in the middle of a line; a line belongs to the part in which
# it begins, so `part.read()` and `part.text()` give whole lines, each exactly once.

# %%
# solution:
parts = dmap.partition(log, size_bytes=200_000)
# fixme: cut the file into parts of 200,000 bytes
# > parts = []
# end
assert 5 < len(parts) < 15, f"parts of 200,000 bytes are some ten, not {len(parts)}"
assert sum(part.read().count(b"\n") for part in parts) == 100_000

# %% [markdown]
# ## Map
#
# Write what one call does: the views of each title in its part.


# %%
def views_of(part):
    found = Counter()
    # solution:
    for line in part.text().splitlines():
        _, title, views = line.split(" ")
        found[title] += int(views)
    # fixme: for each line of the part, add its views to its title's
    # end
    return found


counters = list(executor.map(views_of, parts))
assert sum(counter.total() for counter in counters) > 400_000, "nothing was counted"

# %% [markdown]
# ## And reduce
#
# `executor.map_reduce(map_function, inputs, reduce_function)` gives one future: of a call that gets the list of all results
# as soon as they are there. They go from worker to worker by this machine's memory.


# %%
def added(counters):
    total = Counter()
    for counter in counters:
        total.update(counter)
    return total


# solution:
total = executor.map_reduce(views_of, parts, added).result()
# fixme: one future of the sum of all counters, and its result
# > total = Counter()
# end
assert total == added(counters), "it is the sum of what the calls have found"
print(total.most_common(5))

# %% [markdown]
# ## Inputs that are made as they are needed
#
# `inputs` may be a generator. It is never further ahead than `ahead` says, so a billion inputs need no room.

# %%
made = 0


def inputs():
    global made
    for i in range(1000):
        made += 1
        yield i


# solution:
results = iter(executor.map(abs, inputs(), ahead=10))
# fixme: at most ten inputs may be taken ahead of the results that are read
# > results = iter(executor.map(abs, inputs()))
# end
first = [next(results) for _ in range(5)]
assert first == [0, 1, 2, 3, 4]
assert made <= 15, f"{made} inputs were made for five results"
executor.close()
