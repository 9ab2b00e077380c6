"""Matrices in tiles, in memory or in a folder, and their factorizations under a budget of memory."""

from .errors import *
from .factor import *
from .matrix import Matrix
