"""Other ways to match two models, judged on the same halves of the samples."""
