"""Small models that are trained here, each family with a tokenizer and a data order of its own."""
