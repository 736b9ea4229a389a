"""Recall: the few memories and exchanges of a viewer that matter for what is being said now, each with its reason."""
