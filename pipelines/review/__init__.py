"""What a reviewer gets: MLflow runs, the registered model, and the champion."""
