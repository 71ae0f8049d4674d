"""The linear model behind every fit: rows to factors, hyperparameters, weights and their posterior."""
