# %% [markdown]
# # A task that waits for another: dependencies
#
# Work comes in steps: load, clean, measure. The second step needs what the first has made, so you might `get` it and
# pass it on. But then your program stands still at each step, and large values travel to you and back for nothing.
#
# Pass the **reference** instead. A task whose argument is a reference starts when the value is there, and gets the
# value. So you can write down the whole graph at once; the runtime runs whatever is ready.

# %%
import time

import daybreak

daybreak.init(num_cpus=4, ignore_reinit_error=True)


@daybreak.remote
def load(seed):
    time.sleep(0.1)
    return list(range(seed, seed + 5))


@daybreak.remote
def clean(rows):
    time.sleep(0.1)
    return [row for row in rows if row % 2 == 0]


@daybreak.remote
def square(rows):
    time.sleep(0.1)
    return [row * row for row in rows]


@daybreak.remote
def total(rows):
    time.sleep(0.1)
    return sum(rows)


# %% [markdown]
# ## A chain
#
# Four steps of 0.1 s each. `chain` returns the reference of its last step and waits for nothing.


# %%
def chain(seed):
    # solution:
    rows = load.remote(seed)
    rows = clean.remote(rows)
    rows = square.remote(rows)
    return total.remote(rows)
    # fixme: pass the references on, without get, and return the last
    # > rows = daybreak.get(load.remote(seed))
    # > rows = daybreak.get(clean.remote(rows))
    # > rows = daybreak.get(square.remote(rows))
    # > return daybreak.get(total.remote(rows))
    # end


start = time.perf_counter()
refs = [chain(seed) for seed in range(4)]
asked = time.perf_counter() - start

# %%
assert all(isinstance(ref, daybreak.ObjectRef) for ref in refs), (
    f"chain gave {refs[0]!r}: return the reference that total.remote() gives, get comes later"
)
assert asked < 0.4, f"asking took {asked:.2f} s, as long as a chain runs: there is still a get in chain"

# %% [markdown]
# ## Four chains side by side
#
# Within a chain each step waits for the one before: 0.4 s. The chains know nothing of each other, so four of them take
# 0.4 s as well. One step after the other takes 1.6 s.

# %%
results = daybreak.get(refs)
seconds = time.perf_counter() - start
print(f"{results} after {seconds:.2f} s")

assert results == [20, 20, 56, 52], f"the totals of seeds 0 to 3 are [20, 20, 56, 52], not {results}"
assert seconds >= 0.4, f"{seconds:.2f} s is less than the four steps of one chain take"
assert seconds < 1.5, f"{seconds:.2f} s: the chains ran one after the other (1.6 s), not side by side (0.4 s)"

daybreak.shutdown()
