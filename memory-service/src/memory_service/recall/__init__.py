"""Recall: the few exchanges of a viewer that matter for what is being said now, each with its reason."""
