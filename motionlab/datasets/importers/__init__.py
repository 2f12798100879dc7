"""Readers of published data sets in the formats they are distributed in, and the conversion to lifting annotations."""
