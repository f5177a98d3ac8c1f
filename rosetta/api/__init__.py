"""The implementation of the public interface: `rosetta.capture`, `rosetta.open_run`, …"""
