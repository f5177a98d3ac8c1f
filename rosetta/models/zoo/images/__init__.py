"""Small models of images that are trained here: what they learn, how, and how well."""
