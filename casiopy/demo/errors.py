"""What can go wrong in the demo."""


class DemoError(Exception):
    """A chapter failed; the message says which and what to do. The next run goes on from there."""
