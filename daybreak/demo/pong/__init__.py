"""``daybreak demo pong``: an agent learns Pong on rollout actors; runs are tracked, policies encrypted and served behind a gate.

``program`` is the program (settings in, results out), ``render`` the pictures, ``command`` the command line.
"""

__all__: list[str] = []
