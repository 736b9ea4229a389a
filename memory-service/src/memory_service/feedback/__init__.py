"""What people thought of a reply: ratings, comments, corrections. They have the last word on its quality."""
