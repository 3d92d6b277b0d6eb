"""The torch room: the model, its text, the loop, and the study that runs a sweep's cells."""
