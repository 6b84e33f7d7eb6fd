"""Self-refinement: the student learns from its own verified programs and from its own mistakes, round after round."""
