"""Tokens shaped as the providers document them, through the verifier with real signatures."""
