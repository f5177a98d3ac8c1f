"""The steps of the workflow that need more than one part of the package, by what they have to import."""
