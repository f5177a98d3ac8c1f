"""The atlas: a finished run's neurons as a data set and a site, for others to use."""
