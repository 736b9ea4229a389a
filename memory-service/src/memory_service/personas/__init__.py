"""Characters: who speaks. Nothing in the code knows a persona's name; she is data."""
