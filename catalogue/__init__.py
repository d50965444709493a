"""What Keras documents, as data and NumPy: no Hypothesis and no Keras in this room."""
