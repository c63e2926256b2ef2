"""Writers of the answers: each writes what `Answers` holds, and computes no number itself."""
