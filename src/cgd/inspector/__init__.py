"""`cgd inspect`: a run's records as pages of a local Datasette, and their review by key press."""
