"""What a model loses without some of its neurons, and with nothing but them."""
