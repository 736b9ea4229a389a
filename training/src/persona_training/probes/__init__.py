"""Batteries: drafted from what is known of a character, and checked before anybody is judged by them."""
