"""Texts encrypted at rest: the cipher, the column types that apply it, and the blind index that keeps words findable."""
