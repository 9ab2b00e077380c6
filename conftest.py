"""For all tests: runs do not write the code of this repository down (a private ref each) unless a test asks for it."""

import os

os.environ.setdefault("DAYBREAK_TRACK_CAPTURE", "0")
