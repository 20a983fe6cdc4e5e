"""Loading and running a scored model."""
