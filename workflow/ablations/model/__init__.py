"""GPT-2 as layers, where a row cuts it, and checkpoints: fetched, read, written, pretrained."""
