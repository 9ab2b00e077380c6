from daybreak._core import (
    base as base,
    rl as rl,
    runtime as runtime,
    tensor as tensor,
    track as track
)
