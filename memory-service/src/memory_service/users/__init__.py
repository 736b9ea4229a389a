"""Viewers, under the ids the client gives them, and their standing consent."""
