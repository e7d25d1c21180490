"""Whole models that several versions of Keras wrote, with their outputs, and what made them."""
