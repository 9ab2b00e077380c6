"""Objects in a bucket of any S3-compatible store: what partitions, packages and tiles are read from and written to.

>>> from daybreak.map.storage import parsed
>>> parsed("s3://pages/2018/")
('pages', '2018/')
"""

from __future__ import annotations

from .s3 import ObjectInfo, S3Store, parsed

__all__ = ["ObjectInfo", "S3Store", "parsed"]
