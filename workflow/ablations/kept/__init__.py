"""A trained row's model as a folder, for transformers and ablations.predict."""
