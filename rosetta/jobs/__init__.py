"""Jobs that do the work of several stages in one process."""
