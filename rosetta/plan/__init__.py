"""What a run will cost, and whether it can be done here."""
