"""One run's folder: its paths, its stages and jobs, what made its results."""
