"""Daybreak: run Python across cores, train agents, track, serve and guard them."""
