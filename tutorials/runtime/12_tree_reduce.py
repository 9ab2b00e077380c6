# %% [markdown]
# # Adding up in a tree
#
# Eight results are to become one, and adding two takes 0.4 s. From left to right that are seven additions in a row,
# each of which waits for the one before: 2.8 s, however many workers there are. But the additions of different pairs
# need not wait for each other:
#
#     1   2   3   4   5   6   7   8
#      \ /     \ /     \ /     \ /
#       3       7      11      15          four at once
#         \   /           \   /
#          10              26              two at once
#             \          /
#                  36
#
# Seven additions again, but only three in a row: 1.2 s. For a thousand values it would be ten instead of 999.

# %%
import time

import daybreak

daybreak.init(num_cpus=8, ignore_reinit_error=True)


@daybreak.remote
def add(x, y):
    time.sleep(0.4)
    return x + y


# %% [markdown]
# ## A loop that makes a tree
#
# You need no recursion. Take two from the front of a list, put their sum at its end, until one is left. References will
# do: an addition starts as soon as both of its values are there.


# %%
def total(values):
    values = list(values)
    while len(values) > 1:
        # solution:
        values = values[2:] + [add.remote(values[0], values[1])]
        # fixme: put the sum at the end of the list, behind those that do not need it
        # > values = [add.remote(values[0], values[1])] + values[2:]
        # end
    return daybreak.get(values[0])


start = time.perf_counter()
result = total(range(1, 9))
seconds = time.perf_counter() - start
print(f"{result} after {seconds:.2f} s")

# %% [markdown]
# The sum is the same either way, because it does not matter in which order numbers are added. What the order changes is
# how long each addition waits: three levels take 1.2 s, a row of seven 2.8 s.

# %%
assert 1.2 <= seconds < 2.6, f"{seconds:.2f} s: three additions in a row take 1.2 s, seven take 2.8 s"
assert result == 36, f"1 + 2 + ... + 8 is 36, not {result}"

daybreak.shutdown()
