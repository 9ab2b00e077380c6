# %% [markdown]
# # A matrix larger than its memory
#
# A matrix of numbers takes eight bytes an element: twice the rows are four times the memory. `daybreak.linalg` cuts one into
# tiles and keeps these in files. It computes with as many as a *budget* of memory holds, and reads and writes the others.
#
# The task: a system of equations whose matrix does not fit into the budget.

# %%
import tempfile
from pathlib import Path

import numpy as np

from daybreak import linalg
from daybreak.linalg import Matrix

folder = Path(tempfile.mkdtemp())
MIB = 1 << 20

# %% [markdown]
# ## Tile by tile
#
# `Matrix.create` makes a folder, `set_tile` writes a tile. Nobody ever holds the whole. Heat on a square plate, say: each point
# is the mean of its neighbours, and far points have nothing to do with each other.

# %%
points = 2304  # of a plate of 48 x 48
M = Matrix.create((points, points), tile=192, folder=folder / "plate")
for i, j in M.tiles():
    rows, cols = (np.arange(r.start, r.stop) for r in M.tile_range(i, j))
    distance = abs(rows[:, None] // 48 - cols // 48) + abs(rows[:, None] % 48 - cols % 48)
    M.set_tile(i, j, np.where(distance == 0, 4.2, np.where(distance == 1, -1.0, 0.0)))
print(M, f"{M.nbytes / MIB:.0f} MiB")

# %% [markdown]
# ## The plan
#
# Before anything runs, `linalg.plan` says what a call would read, write and hold. A call that cannot keep to its budget is
# refused there, with a way out: `BudgetError`.

# %%
budget = 64 * MIB  # 48 of them for BLAS itself, 16 for tiles
print(linalg.plan(linalg.cholesky, M, budget=budget, threads=2))

try:
    linalg.cholesky(M, budget=48 * MIB + MIB // 2, threads=2)
except linalg.BudgetError as error:
    print(error)

# %% [markdown]
# ## Factor it
#
# `out=` names the folder of the result. Without a budget this call would take half of the memory that is free.

# %%
# solution:
L = linalg.cholesky(M, budget=budget, threads=2, out=folder / "factor")
# fixme: factor M by linalg.cholesky within the budget, into the folder "factor"
# > L = M
# end
assert L.folder == str(folder / "factor"), "the factor has a folder of its own: out="
print(L, len(list((folder / "factor").glob("*.tile"))), "tiles written")

# %% [markdown]
# ## Killed, and gone on with
#
# Tiles of the result are written when they are final, whole or not at all. Here some are lost; `resume=True` makes those again,
# and what else there is stays as it is. The bits are the same.

# %%
known = np.asarray(L)
for path in sorted((folder / "factor").glob("*.tile"))[-20:]:
    path.unlink()
# solution:
L = linalg.cholesky(M, budget=budget, threads=2, out=folder / "factor", resume=True)
# fixme: go on: the same call, with resume=True
# > L = Matrix.open(folder / "factor")
# end
assert len(list((folder / "factor").glob("*.tile"))) == 78, "12 * 13 / 2 tiles: go on where it was"
assert np.array_equal(L, known)

# %% [markdown]
# ## Solve
#
# The heat in the middle, when one corner is kept warm: forward with L, backward with its transpose, which is a view.

# %%
heat = np.zeros(points)
heat[0] = 1.0
x = linalg.solve_triangular(L.T, linalg.solve_triangular(L, heat, lower=True))
print(f"{x[0]:.3f} in the corner, {x[24 * 48 + 24]:.2e} in the middle")
assert np.abs(M @ x - heat).max() < 1e-12
