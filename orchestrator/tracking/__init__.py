"""MLflow: runs that mirror the result files, written by a thread of the driver."""

__all__ = ["background", "identity", "mlflow_runs", "mlflow_store", "report_artifact"]
