"""Adapters: what was trained on which dataset, what the gate said, where it is deployed; and the lineage of it all."""
