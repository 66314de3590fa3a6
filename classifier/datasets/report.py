"""The dataset report: counts, findings and contact sheets on one self-contained HTML page.

Everything from the data is escaped, and the page may load nothing from anywhere.
"""

import base64
from collections.abc import Sequence
from pathlib import Path

from classifier import atomic_file
from classifier.datasets.balance import balance
from classifier.datasets.card import facts
from classifier.datasets.sheets import Sheet
from classifier.datasets.values import Dataset, DatasetError, Finding

MAX_FINDINGS = 500
_MAX_OTHERS = 5
_MAX_ROWS = 12
"""More rows of a table are folded away."""
_TEMPLATE = "report.html"


def render(dataset: Dataset, findings: Sequence[Finding] = (), sheets: Sequence[Sheet] = ()) -> str:
    """Write the page.

    Args:
        dataset: The dataset; to describe a divided one wholly, join both manifests.
        findings: What `check` and `verify` found; more than 500 are counted, not listed.
        sheets: Contact sheets.

    Returns:
        HTML.

    Raises:
        DatasetError: Where a label is neither of the classes.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = balance(dataset)
    tables = {
        column or "all pictures": [row for row in rows if row.column == column]
        for column in dict.fromkeys(row.column for row in rows)
    }
    return environment.get_template(_TEMPLATE).render(
        name=dataset.name,
        classes=dataset.classes,
        facts=facts(dataset),
        tables=tables,
        # Pictures without a value can be so many that nothing would be seen of the others.
        largest={
            column: max((row.count for row in part if row.value), default=0) or max(row.count for row in part)
            for column, part in tables.items()
        },
        max_rows=_MAX_ROWS,
        max_others=_MAX_OTHERS,
        findings=findings[:MAX_FINDINGS],
        findings_left_out=max(0, len(findings) - MAX_FINDINGS),
        errors=sum(finding.severity == "error" for finding in findings),
        sheets=[(sheet, base64.b64encode(sheet.jpeg).decode()) for sheet in sheets],
    )


def write(
    path: Path, dataset: Dataset, findings: Sequence[Finding] = (), sheets: Sequence[Sheet] = ()
) -> None:
    """Write the page into a file, readable by its owner only; otherwise like `render`.

    Raises:
        DatasetError: Also where the file cannot be written.
    """
    content = render(dataset, findings, sheets)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(path, content.encode())
    except OSError as error:
        raise DatasetError(f"cannot be written: {error.strerror or error}", path) from error


__all__ = ["MAX_FINDINGS", "render", "write"]
