"""Typed long-term memories about a viewer: limits, expiry, history, supersession."""
