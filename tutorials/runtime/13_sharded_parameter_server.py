# %% [markdown]
# # A parameter server in pieces
#
# Many workers train one model. Its parameters live in an actor, the *parameter server*: a worker reads them, computes a
# gradient on its own data, and sends it back. With many workers, that one actor is what all wait for. So cut the
# parameters into pieces, *shards*, each in an actor of its own: four actors do the work of one, side by side.
#
# Thirty CPUs, on any machine: a CPU is a promise to the scheduler, and these workers mostly wait.

# %%
import numpy as np

import daybreak

daybreak.init(num_cpus=30, ignore_reinit_error=True)

SIZE, SHARDS, WORKERS, STEPS, RATE = 1_000, 4, 12, 25, 0.05
target = np.random.default_rng(0).normal(size=SIZE)  # what the model should become


@daybreak.remote
class Shard:
    def __init__(self, size):
        self.values = np.zeros(size)
        self.updates = 0

    def pull(self):
        return self.values

    def push(self, gradient):
        self.values = self.values - RATE * gradient
        self.updates += 1

    def count(self):
        return self.updates


# %% [markdown]
# ## Cut and join
#
# `np.array_split(vector, n)` cuts a vector into n pieces, `np.concatenate` joins them.

# %%
# solution:
shards = [Shard.remote(len(piece)) for piece in np.array_split(target, SHARDS)]
# fixme: SHARDS actors, each as long as its piece
# > shards = [Shard.remote(SIZE)]
# end

sizes = [len(piece) for piece in daybreak.get([shard.pull.remote() for shard in shards])]
assert sizes == [SIZE // SHARDS] * SHARDS, f"four shards hold 250 parameters each, not {sizes}"

# %% [markdown]
# ## A worker
#
# The handles go to the workers like any value, in a list. Each step asks all shards at once, and pushes to all at once.
# Workers do not wait for each other, so a gradient may be of parameters that have moved meanwhile; small steps forgive
# that.


# %%
@daybreak.remote
def work(seed, shards):
    random = np.random.default_rng(seed)
    for _ in range(STEPS):
        # solution:
        parameters = np.concatenate(daybreak.get([shard.pull.remote() for shard in shards]))
        # fixme: all parameters, from all shards
        # > parameters = np.zeros(SIZE)
        # end
        gradient = parameters - target + random.normal(scale=0.01, size=SIZE)  # of half the squared distance, and noise
        # solution:
        pieces = np.array_split(gradient, len(shards))
        daybreak.get([shard.push.remote(piece) for shard, piece in zip(shards, pieces, strict=True)])
        # fixme: push each shard its piece of the gradient, and wait until all have it
        # end


daybreak.get([work.remote(seed, shards) for seed in range(WORKERS)])

# %%
counts = daybreak.get([shard.count.remote() for shard in shards])
learned = np.concatenate(daybreak.get([shard.pull.remote() for shard in shards]))
error = float(np.abs(learned - target).max())
print(f"{counts} updates, largest error {error:.4f}")

assert counts == [WORKERS * STEPS] * SHARDS, (
    f"12 workers push 25 times to each of the four shards, but they counted {counts}"
)
assert error < 0.1, f"some parameter is off by {error:.3f}: do workers start from what they pulled?"

daybreak.shutdown()
