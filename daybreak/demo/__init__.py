"""The demo: where the systems meet. ``daybreak demo pong`` trains an agent on rollout actors and shows it playing.

``pong`` is the program (settings in, results out), ``render`` the pictures, ``commands`` the command line.
"""

__all__: list[str] = []
