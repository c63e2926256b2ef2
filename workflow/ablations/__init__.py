"""Finetuning ablations of GPT-2: data → tokens → model → training → statistics → output."""
