"""What MLflow runs to open a registered model (models from code): it is copied beside the model's files."""

from mlflow.models import set_model

from recops.registry.served_model import ServedModel

set_model(ServedModel())
