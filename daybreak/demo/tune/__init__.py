"""The demo of `daybreak.tune`: a search that is killed and goes on, a population, pictures, and the best policy."""
