"""Everything held about a viewer, to hand out or to erase."""
