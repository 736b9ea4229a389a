"""What a message says about its author, found by a model or by rules, as changes to memories."""
