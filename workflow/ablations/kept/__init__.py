"""A trained row's model in a folder of its own, for transformers and ablations.predict."""
