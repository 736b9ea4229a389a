"""Topics: what a persona's viewers talk about, found by clustering, with labels a person can read."""
