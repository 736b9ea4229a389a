"""Talking with the persona: the prompt's parts under a token budget, agents, sessions, history."""
