"""What a prediction is worth: posterior sds and their calibration, novelty, extrapolation grades."""
