"""numpywren's names for what is here: BigMatrix and the programs over it. ``daybreak.compat.numpywren`` makes them `numpywren`.

Blocks are files in a folder instead of objects in a bucket: ``$DAYBREAK_NUMPYWREN_FOLDER``, else
``~/.local/state/daybreak/numpywren``.
"""
