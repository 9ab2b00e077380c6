# %% [markdown]
# # One function over many inputs
#
# You have a function and many inputs for it, and each takes a while. `daybreak.map` calls it in the workers of this
# machine, all cores at once, and gives the results in the order of the inputs. The names are those of PyWren (2018), whose
# idea this is: no cluster, no servers, a function and a list.

# %%
import os
import signal
import tempfile
import time
from pathlib import Path

import daybreak
from daybreak import map as dmap

daybreak.init(num_cpus=4, ignore_reinit_error=True)
executor = dmap.executor(logs=True)  # logs: what a call prints and how long it took is kept


def slow_square(x):
    time.sleep(0.5)
    return x * x


# %% [markdown]
# ## One call
#
# `executor.call_async(function, argument)` begins a call and gives a *future* at once. `future.result()` waits for it.

# %%
# solution:
future = executor.call_async(slow_square, 7)
answer = future.result()
# fixme: begin the call, and wait for its result
# > future = None
# > answer = None
# end
assert answer == 49, "slow_square(7) is 49: call_async, then result()"

# %% [markdown]
# ## Many
#
# `executor.map(function, inputs)` begins a call for each input. What it gives is a lazy sequence: iterate over it for the
# results. One after the other eight of these would take four seconds.

# %%
list(executor.map(abs, range(8)))  # the workers are there now
began = time.monotonic()
# solution:
squares = list(executor.map(slow_square, range(8)))
# fixme: let the executor map it, instead of this loop
# > squares = [slow_square(x) for x in range(8)]
# end
took = time.monotonic() - began
assert squares == [0, 1, 4, 9, 16, 25, 36, 49]
assert took < 3, f"{took:.1f} s: that was one after the other"
print(f"eight calls in {took:.1f} s")

# %% [markdown]
# ## Whoever is ready first
#
# Results in order make you wait for a slow first one. `calls.as_completed()` gives futures as they end; a future knows
# its input by `future.index`.


# %%
def sleeper(seconds):
    time.sleep(seconds)
    return seconds


calls = executor.map(sleeper, [1.5, 0.1])
# solution:
order = [future.index for future in calls.as_completed()]
# fixme: the numbers of the calls, in the order in which they end
# > order = [future.index for future in calls.futures()]
# end
assert order == [1, 0], f"call 1 ends first, and you have {order}"

# %% [markdown]
# ## When something goes wrong
#
# An exception of a call is raised where its result is asked for, in its own type and with the worker's traceback. The
# others go on. `executor.retry(futures)` runs those again that failed, and nothing else.

# %%
folder = Path(tempfile.mkdtemp())


def fails_once(x):
    mark = folder / str(x)
    if x % 2 and not mark.exists():
        mark.touch()
        raise ValueError(f"{x} is odd")
    return x


futures = executor.map(fails_once, range(4)).futures()
dmap.wait(futures)
print([future.exception() is None for future in futures])
# solution:
futures = executor.retry(futures)
# fixme: run again what has failed
# end
dmap.wait(futures)
failed = [future.index for future in futures if future.exception() is not None]
assert not failed, f"calls {failed} have failed, and nobody has run them again"
assert dmap.get_all_results(futures) == [0, 1, 2, 3]

# %% [markdown]
# A worker that dies takes nothing along: its call is begun again (`retries=3`), and if it dies each time the error says how.


# %%
def dies_once(x):
    mark = folder / "died"
    if x == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x


calls = executor.map(dies_once, range(4))
dmap.wait(calls)
# solution:
attempts = [future.status["attempts"] for future in calls.futures()]
# fixme: how often each call was begun: its status says that
# > attempts = [1, 1, 1, 1]
# end
assert attempts == [1, 1, 2, 1], f"call 2 was begun twice, not {attempts}"

# %% [markdown]
# ## A look at them

# %%
print(executor.summary(calls))
print(executor.timeline(calls))
executor.close()
