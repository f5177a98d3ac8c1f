"""When Rosetta Neurons emerge over a training, how long matches last, and what units become."""
