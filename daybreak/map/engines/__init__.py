"""Engines beyond this machine's runtime: Lithops' back ends (`lithops`), tasks of another engine of the runtime (`tasks`)."""
