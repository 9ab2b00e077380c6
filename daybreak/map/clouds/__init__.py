"""Before and after calls in a cloud: what they cost (`plan`, `prices`), what is missing (`doctor`), what was left (`clean`)."""
