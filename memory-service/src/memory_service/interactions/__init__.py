"""Exchanges: what a viewer said, what the persona answered, how good the answer was and why."""
