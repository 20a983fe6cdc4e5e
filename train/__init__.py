"""Makes, measures and exports the models that the app runs."""
