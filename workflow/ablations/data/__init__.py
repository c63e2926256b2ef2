"""The texts: fetched or generated, balanced, split, encoded, and what a model reads of each."""
