"""Conversations of one viewer with one persona, and the viewer's consent for each."""
