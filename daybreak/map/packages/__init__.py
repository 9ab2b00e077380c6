"""What a worker elsewhere needs to have: the caller's modules (`modules`), the packages of an environment (`pack`, `unpack`)."""
