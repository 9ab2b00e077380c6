from daybreak._core import (
    base as base,
    crypto as crypto,
    frame as frame,
    grant as grant,
    linalg as linalg,
    net as net,
    rl as rl,
    runtime as runtime,
    serve as serve,
    store as store,
    tensor as tensor,
    track as track,
    tune as tune
)
