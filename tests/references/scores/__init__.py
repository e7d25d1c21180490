"""Scores and calibrations of other libraries, and the program that asked them."""
