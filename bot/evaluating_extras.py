"""What `evaluate` finds out beside figures where it is asked to: it takes the pictures, not their scores."""

from typing import TYPE_CHECKING

from bot.errors import ConfigError
from bot.evaluating import Judged, Laboratory, Loaded, put
from bot.scoring import decode_limits
from classifier import preprocess
from classifier.datasets.sheets import sheet_of
from classifier.decode.sandbox import DecodePool
from classifier.evaluation import sections, wording
from classifier.evaluation.report import Section
from classifier.evaluation.suspicious import suspicious

if TYPE_CHECKING:
    from classifier.engines.torch_engine import TorchEngine

WORTH_ASKING = 0.7
"""ROC-AUC, at the low end, below which a model's doubts about labels say more of the model."""


def suspicious_section(lab: Laboratory, one: Judged) -> Section:
    """The labels of the test set that the model doubts most."""
    scores, count = one.measured.test, lab.request.suspicious
    found = suspicious(scores.dataset, scores.values)
    lab.tell("contact sheet of suspicious labels", 0, 1)
    listed = [suspect.item for suspect in found[:count]]
    sheet = sheet_of(scores.dataset, listed, workers=lab.settings.decode.workers)
    how = "It goes by this model's scores, which are out of sample unless the test set leaks."
    apart = one.evaluation.measure("roc_auc")
    if apart.low is None or apart.low < WORTH_ASKING:
        how += (
            f" But this model hardly tells the classes apart on this set (ROC-AUC "
            f"{wording.measure_value(apart)}, {wording.measure_span(apart)}): its doubts mean little."
        )
    return sections.suspects(found, sheet, how, count)


def robustness_section(lab: Laboratory, one: Judged) -> Section:
    """How its decisions hold when pictures change, and under attack; also as a file."""
    from classifier.evaluation import robustness
    from classifier.evaluation.features import prepare

    candidate, dataset = one.measured.candidate, one.measured.test.dataset
    engine = _on_torch(lab, one, "--robustness")
    plain, own = robustness.without_defence(candidate.card.preprocessing)
    defence = lab.request.defence or own
    options = robustness.Options(threshold=one.evaluation.threshold)
    if defence:
        options = robustness.Options(threshold=one.evaluation.threshold, defence=defence)
    labels = one.measured.test.measured().labels
    chosen = robustness.sample(labels, options.limit, options.seed).tolist()
    what = f"{candidate.title}: pictures for robustness"
    pictures = prepare(
        dataset.with_items(dataset.items[index] for index in chosen),
        plain,
        limits=decode_limits(lab.settings),
        workers=lab.settings.decode.workers,
        progress=lambda done, total: lab.tell(what, done, total),
    )
    result = robustness.measure(
        engine.network,
        pictures.pixels,
        [dataset.target_of(item) for item in pictures.dataset.items],
        model=candidate.title,
        available=len(labels),
        order=preprocess.get(plain).channels,
        options=options,
        progress=lab.tell,
    )
    put(one.measured.folder / "robustness.json", robustness.to_json(result))
    return robustness.section(result)


def explained_section(lab: Laboratory, one: Judged) -> Section:
    """Where the model looked when it was most wrong."""
    from classifier.evaluation import explain_files, explain_report

    scores, threshold = one.measured.test, one.evaluation.threshold
    engine = _on_torch(lab, one, "--explain")
    what = f"{one.title}: worst errors"
    with DecodePool(decode_limits(lab.settings), lab.settings.decode.workers) as pool:
        explainer = explain_files.Explainer(
            engine.network, one.measured.candidate.card.preprocessing, threshold, pool
        )
        found = []
        lab.tell(what, 0, lab.request.explain)
        for done in explain_files.explain_errors(
            explainer, scores.dataset, scores.values, lab.request.explain
        ):
            found.append(done)
            lab.tell(what, len(found), lab.request.explain)
    return explain_report.section(found, explain_report.Subject(one.title, threshold, lab.classes))


def _on_torch(lab: Laboratory, one: Judged, option: str) -> "TorchEngine":
    """The model itself, for what looks into its network."""
    from classifier.engines.torch_engine import TorchEngine

    engine = Loaded(one.measured.candidate, lab.threads).get()
    if not isinstance(engine, TorchEngine):
        raise ConfigError(f"{option} needs a model on torch-fp32; {one.title} runs on {engine.engine}")
    return engine


__all__ = ["explained_section", "robustness_section", "suspicious_section"]
