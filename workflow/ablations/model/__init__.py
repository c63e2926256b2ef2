"""GPT-2 as layers, where a row cuts them, and checkpoints: fetched, read, written, pretrained."""
