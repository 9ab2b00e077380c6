from daybreak._core import (
    base as base,
    crypto as crypto,
    grant as grant,
    rl as rl,
    runtime as runtime,
    serve as serve,
    tensor as tensor,
    track as track
)
