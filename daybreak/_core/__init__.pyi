from daybreak._core import base as base, rl as rl, tensor as tensor
