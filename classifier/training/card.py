"""The first model card of a run, in Markdown: what it is and how it came about.

Validation figures decided which epoch was kept, so they flatter; the card says so, and `evaluate` replaces it
by one with figures from the sealed test set.
"""

from classifier.evaluation.markdown import escaped, table
from classifier.training.config import TrainConfig
from classifier.training.folder import Result, RunRecord

_FIGURES = {
    "validation_accuracy": "Accuracy at 0.5",
    "validation_precision": "Precision at 0.5",
    "validation_recall": "Recall at 0.5",
    "validation_f1": "F1 at 0.5",
    "validation_pr_auc": "Average precision",
    "validation_roc_auc": "ROC AUC",
    "validation_loss": "Loss",
}

_SAMPLING = {
    "balanced": "both classes shown equally often",
    "weighted": "both classes shown equally often, within each by the pictures' weights",
}


def render(config: TrainConfig, record: RunRecord, result: Result) -> str:
    """Write the card.

    Args:
        config: The run's.
        record: What it noted.
        result: What came out.

    Returns:
        Markdown.
    """
    model = ", ".join(f"{key} {value}" for key, value in config.model.items()) or "brought by the caller"
    versions = ", ".join(f"{name} {version}" for name, version in record.provenance["libraries"].items())
    facts = [
        ("Model", model),
        ("Parameters", f"{result.parameters:,}"),
        ("Preprocessing", config.data.preprocessing + (", in buckets of shapes" * _bucketed(config))),
        ("Weights", f"{result.weights_sha256} (SHA-256), {result.weights_bytes:,} bytes"),
        ("Data", f"{record.data['name']}, {record.data['hash']} (content hash)"),
        ("Pictures", _counts(record)),
        ("Classes", " (0) and ".join(config.data.classes) + " (1)"),
        ("Training", _training(config, result)),
        ("Seed", str(record.seed)),
        ("Code", record.provenance["git_commit"] or "not in a checkout"),
        ("Libraries", versions),
    ]
    rows = [(title, f"{result.figures[name]:.4f}") for name, title in _FIGURES.items()]
    return "\n".join(
        (
            f"# {escaped(config.name)}\n",
            *(f"- {name}: {escaped(value)}" for name, value in facts),
            "\n## On the validation set\n",
            "These figures decided what was kept, so they flatter the model: they are for choosing between "
            "runs on the same data and say nothing about other pictures. Evaluate on the sealed test set.\n",
            table(("Figure", "Value"), rows),
            "## Use\n",
            "Advice for people, who look for themselves before anything is done. Not for decisions without a "
            "person.",
            _scores(config),
        )
    )


def _bucketed(config: TrainConfig) -> bool:
    return config.data.shapes == "buckets"


def _counts(record: RunRecord) -> str:
    splits = record.data["counts"].items()
    return "; ".join(
        f"{split}: " + ", ".join(f"{n} {label}" for label, n in of.items()) for split, of in splits
    )


def _training(config: TrainConfig, result: Result) -> str:
    optimizer, training = config.optimizer, config.training
    parts = ["features as the starting weights give them"]
    if training.epochs:
        parts = [
            f"{config.loss.kind} by {optimizer.name}, rate {optimizer.rate} ({optimizer.schedule})",
            f"batches of {training.batch}",
            f"{result.epochs} of {training.epochs} epochs, {result.steps} steps",
            f"weights of epoch {result.kept_epoch}",
        ]
        if training.sampling != "shuffle":
            parts.insert(2, _SAMPLING[training.sampling])
    if training.epochs and training.ema_decay:
        parts.append(f"averaged with decay {training.ema_decay}")
    if config.model.get("head") == "svm":
        parts.append(
            f"then a linear support vector machine on the features, c {config.svm.c:g}, calibrated in "
            f"{config.svm.folds} folds"
        )
    return ", ".join(parts)


def _scores(config: TrainConfig) -> str:
    if config.model.get("head") == "svm" and config.training.epochs:
        return (
            "\nThe machine was calibrated on pictures that the network had learned: on others its scores are "
            "too sure until they are calibrated anew.\n"
        )
    if config.loss.kind == "cross_entropy":
        return ""
    return "\nTrained by margin: scores rank pictures, but are no chances until they are calibrated.\n"


__all__ = ["render"]
