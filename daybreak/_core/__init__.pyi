from daybreak._core import base as base, tensor as tensor
