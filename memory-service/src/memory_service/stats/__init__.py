"""Counts over everything a persona has, for a glance and for the dashboard."""
