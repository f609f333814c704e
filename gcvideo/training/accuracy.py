from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy


def accuracy_metrics(num_classes: int, prefix: str) -> MetricCollection:
    """Top-1, top-5 (from five classes on) and mean class accuracy."""
    metrics = {
        "top1": MulticlassAccuracy(num_classes, average="micro"),
        "mean_class_accuracy": MulticlassAccuracy(num_classes, average="macro"),
    }
    if num_classes > 5:
        metrics["top5"] = MulticlassAccuracy(num_classes, top_k=5, average="micro")
    # Groups would be formed from the first batch: top-1 and top-5 that agree on it would stay one.
    return MetricCollection(dict(metrics), prefix=prefix, compute_groups=False)
