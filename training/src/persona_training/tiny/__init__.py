"""The tiny world: a small chat model made on this machine, so that the whole loop runs for real without hub or GPU."""
