"""The only room that touches Keras: it runs steps on an implementation and hands back NumPy."""
