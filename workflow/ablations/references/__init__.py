"""Classifiers that count words or characters: what a row must beat to be worth its time."""
