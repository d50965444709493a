"""What is drawn, from the catalogue: Hypothesis, and never TensorFlow."""
