"""What comes from outside: the only package that reaches the network."""
