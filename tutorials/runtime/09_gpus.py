# %% [markdown]
# # One task for each GPU
#
# Two tasks that believe to have a GPU for themselves, and share it, both run out of its memory. So a task says what it
# needs, and the runtime starts it when that is free, and says which GPU it may use: `daybreak.get_gpu_ids()` inside the
# task, and `CUDA_VISIBLE_DEVICES`, which the libraries heed.
#
# A GPU is **counted**, not touched: `init(num_gpus=2)` says that there are two. This tutorial runs on a machine that
# has none.

# %%
import os
import time

import daybreak

daybreak.init(num_cpus=4, num_gpus=2, ignore_reinit_error=True)

# %% [markdown]
# ## Say what a task needs


# %%
# solution:
@daybreak.remote(num_gpus=1)
# fixme: one GPU for each call
# > @daybreak.remote
# end
def train(seed):
    time.sleep(0.5)
    return daybreak.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")


ids, visible = daybreak.get(train.remote(0))
assert len(ids) == 1, f"train has the GPUs {ids}: it gets one when its decorator says num_gpus=1"
assert visible == str(ids[0]), f"CUDA_VISIBLE_DEVICES is {visible!r}, not the GPU that the task was given, {ids[0]}"

# %% [markdown]
# ## Three tasks, two GPUs
#
# Four CPUs would let all three run at once, in 0.5 s. The third waits for a GPU: 1 s.

# %%
start = time.perf_counter()
results = daybreak.get([train.remote(seed) for seed in range(3)])
seconds = time.perf_counter() - start
used = {ids[0] for ids, _ in results}
print(f"GPUs {sorted(used)}, {seconds:.2f} s")

assert used == {0, 1}, f"three tasks use both GPUs, not {used}"
assert seconds >= 1, f"{seconds:.2f} s: three tasks of 0.5 s ran on two GPUs at once"

# %% [markdown]
# ## An actor keeps its GPU
#
# A task gives its GPU back when it ends, an actor when it dies. While it lives, the other tasks have one less.


# %%
# solution:
@daybreak.remote(num_gpus=1)
# fixme: one GPU for the actor
# > @daybreak.remote
# end
class Model:
    def device(self):
        return daybreak.get_gpu_ids()


model = Model.remote()
held = daybreak.get(model.device.remote())
assert len(held) == 1, f"the actor holds the GPUs {held}: it gets one when its decorator says num_gpus=1"

other, _ = daybreak.get(train.remote(4))
assert {*other, *held} == {0, 1}, (
    f"the actor has GPU {held[0]}, so the other is left for tasks, but this one had {other}"
)

daybreak.shutdown()
