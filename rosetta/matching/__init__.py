"""Matches: pairs of neurons that are each other's nearest neighbours."""
