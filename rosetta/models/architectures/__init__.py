"""Where each architecture keeps its MLP neurons: a table per modality."""
