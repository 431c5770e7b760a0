"""One thin module a DVC stage, and the parameters, paths and tracking that they share."""
