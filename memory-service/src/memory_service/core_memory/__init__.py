"""Layer 0: what the persona always knows about herself; it becomes the system prompt."""
