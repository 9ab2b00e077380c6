# %% [markdown]
# # Networks in actors, weights between them
#
# A network is more than its weights: sessions, streams, compiled code. Those belong to their process and cannot travel.
# The weights can; they are arrays. So each actor builds the network for itself, and what travels is a list of arrays:
# `get_weights` takes them out, `set_weights` puts them in.
#
# Our network is two matrices, and its session a lock, which cannot be pickled either.

# %%
import threading

import numpy as np

import daybreak

daybreak.init(num_cpus=3, ignore_reinit_error=True)


class Network:
    def __init__(self, seed):
        random = np.random.default_rng(seed)
        self.session = threading.Lock()  # stays where it was made
        self.layers = [random.normal(size=(4, 8)), random.normal(size=(8, 1))]

    def predict(self, x):
        return np.tanh(x @ self.layers[0]) @ self.layers[1]


# %% [markdown]
# ## Take them out, put them in


# %%
@daybreak.remote
class Learner:
    def __init__(self, seed):
        self.network = Network(seed)

    def get_weights(self):
        # solution:
        return self.network.layers
        # fixme: give back the network's arrays, and nothing that is bound to this process
        # > return None
        # end

    def set_weights(self, weights):
        # solution:
        self.network.layers = [layer.copy() for layer in weights]
        # fixme: put copies of these arrays into the network: what arrives is read-only
        # > pass
        # end

    def train(self):
        for layer in self.network.layers:
            layer *= 0.9  # stands for a step of training: it writes to the arrays
        return self.predict()

    def predict(self):
        return self.network.predict(np.ones(4)).item()


first, second = Learner.remote(1), Learner.remote(2)
weights = daybreak.get([first.get_weights.remote(), second.get_weights.remote()])

assert all(isinstance(each, list) for each in weights), f"get_weights gives a list of arrays, not {weights[0]!r}"
assert [layer.shape for layer in weights[0]] == [(4, 8), (8, 1)], "the network has a matrix of 4 x 8 and one of 8 x 1"

# %% [markdown]
# ## Share the mean
#
# What learners that work side by side do every few steps: take all weights, average them layer by layer, give everybody
# the mean. Store the mean once; both read the same bytes.

# %%
# solution:
mean = [np.mean(layers, axis=0) for layers in zip(*weights, strict=True)]
# fixme: for each layer the mean of both networks
# > mean = weights[0]
# end

stored = daybreak.put(mean)
daybreak.get([learner.set_weights.remote(stored) for learner in (first, second)])
outputs = daybreak.get([learner.predict.remote() for learner in (first, second)])
print("both predict", outputs)

expected = Network(0)
expected.layers = [(one + other) / 2 for one, other in zip(*weights, strict=True)]
wanted = expected.predict(np.ones(4)).item()
assert outputs[0] == outputs[1], (
    f"both have the same weights now, but they predict {outputs}: does set_weights keep them?"
)
assert np.isclose(outputs[0], wanted), f"with the mean of both, the network predicts {wanted:.3f}, not {outputs[0]:.3f}"

# %%
try:
    trained = daybreak.get([learner.train.remote() for learner in (first, second)])
except ValueError as error:
    trained = error
assert isinstance(trained, list), f"{str(trained).splitlines()[-1]}: set_weights must copy, or nobody can train on"

daybreak.shutdown()
