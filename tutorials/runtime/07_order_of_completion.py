# %% [markdown]
# # Each as it comes: order of completion
#
# Four results, and something to do with each. In the order in which you asked, you would stand before the slowest with
# three finished ones at your back. `wait`, again and again, hands you each as it comes:
#
#     while rest:
#         ready, rest = daybreak.wait(rest)  # num_returns is 1
#         ...

# %%
import time

import daybreak

daybreak.init(num_cpus=4, ignore_reinit_error=True)


@daybreak.remote
def work(seconds):
    time.sleep(seconds)
    return seconds


def handle(result):
    time.sleep(0.1)  # stands for what you do with a result
    return result


# %% [markdown]
# ## Quickest first

# %%
start = time.perf_counter()
refs = [work.remote(seconds) for seconds in (1.4, 0.1, 0.4, 0.7)]
handled = []

# solution:
rest = refs
while rest:
    ready, rest = daybreak.wait(rest)
    handled.append(handle(daybreak.get(ready[0])))
# fixme: handle each result as soon as it is there
# > for ref in refs:
# >     handled.append(handle(daybreak.get(ref)))
# end

seconds = time.perf_counter() - start
print(f"{handled} after {seconds:.2f} s")

# %% [markdown]
# The slowest takes 1.4 s. The other three are handled while it runs, so that only its own 0.1 s come on top: 1.5 s. In
# the order in which they were asked for, all four are handled after it: 1.8 s. One call after the other takes 3 s.

# %%
assert handled[-1] == 1.4, f"handled in the order {handled}, but the slowest comes last: wait for one of them at a time"
assert len(handled) == 4, f"{len(handled)} results are handled, not 4"
assert 1.5 <= seconds < 3, f"{seconds:.2f} s, but the slowest result is there after 1.4 s and takes 0.1 s to handle"

daybreak.shutdown()
