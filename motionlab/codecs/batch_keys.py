"""Batch keys that every task family shares."""

SAMPLE_INDEX = 'sample_index'          # (B,) int64, position in the dataset
