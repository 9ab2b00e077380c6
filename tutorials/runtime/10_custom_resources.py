# %% [markdown]
# # Whatever is scarce: resources of your own
#
# A licence for three users, a database that bears four connections, a disk that two may read: the runtime counts those
# as it counts CPUs. `init(resources={"Custom1": 4})` says how much there is, under a name of your choice;
# `resources={"Custom1": 2}` says what one call takes, and a call waits until that much is free.

# %%
import time

import daybreak

daybreak.init(num_cpus=8, resources={"Custom1": 4}, ignore_reinit_error=True)


@daybreak.remote
def plain():
    time.sleep(0.4)


# %% [markdown]
# ## Take some
#
# `.options(...)` on a function or a class gives it other needs than its decorator says. Make `single` take one of the
# four `Custom1`, and `double` two.

# %%
# solution:
single = plain.options(resources={"Custom1": 1})
double = plain.options(resources={"Custom1": 2})
# fixme: one Custom1 for single, two for double
# > single = plain
# > double = plain
# end

assert plain not in (single, double), 'single is plain.options(resources={"Custom1": 1}); double takes two'

assert plain not in (single, double), 'single is plain.options(resources={"Custom1": 1}), and double takes two'


def seconds_of(*functions):
    start = time.perf_counter()
    daybreak.get([function.remote() for function in functions])
    return time.perf_counter() - start


seconds_of(*[plain] * 8)  # so that eight workers are there

# %% [markdown]
# ## Count the waves
#
# A call takes 0.4 s. What runs at once is a wave; the second wave begins when the first ends, and so 0.8 s are two
# waves. First what does not fit into one: five or more of `Custom1`.

# %%
for functions, taken in (
    ([single] * 8, "8 calls of 1"),
    ([double] * 4, "4 calls of 2"),
    ([double] * 2 + [single] * 2, "2 calls of 2 and 2 of 1"),
):
    seconds = seconds_of(*functions)
    print(f"{taken}: {seconds:.2f} s")
    assert seconds >= 0.8, (
        f"{taken}: {seconds:.2f} s is one wave, but there are four Custom1: do the calls ask for them?"
    )
    assert seconds < 1.6, f"{taken}: {seconds:.2f} s is more than two waves (0.8 s): they ask for too much"

# %% [markdown]
# Then what does. Eight plain calls need eight CPUs and no `Custom1`; one after the other they would take 3.2 s.

# %%
for functions, taken in (
    ([plain] * 8, "8 plain calls"),
    ([single] * 4, "4 calls of 1"),
    ([double, single, single] + [plain] * 3, "1 call of 2, 2 of 1, 3 plain"),
):
    seconds = seconds_of(*functions)
    print(f"{taken}: {seconds:.2f} s")
    assert 0.4 <= seconds < 0.8, f"{taken}: {seconds:.2f} s, but they fit into one wave of 0.4 s"

# %% [markdown]
# ## What never fits
#
# Five of four are never free. A call that asks for them could wait for ever; instead its `get` raises, and the error
# says what was asked, what there is, and the way out.

# %%
impossible = plain.options(resources={"Custom1": 5}).remote()
try:
    refused = daybreak.get(impossible)
except daybreak.exceptions.TaskUnschedulableError as error:
    refused = error
print(refused)

assert isinstance(refused, Exception), "five of four Custom1 were given away"
for _ in range(100):  # what a call had is free a moment after its result is there
    if daybreak.available_resources()["Custom1"] == 4:
        break
    time.sleep(0.05)
assert daybreak.available_resources()["Custom1"] == 4, "all four Custom1 are free again"

daybreak.shutdown()
