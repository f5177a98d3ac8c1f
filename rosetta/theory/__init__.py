"""The analytical model: what it says, what it predicts, and how it fares."""
