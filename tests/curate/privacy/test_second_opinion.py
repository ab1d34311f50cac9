"""What the pattern recognizers of presidio-analyzer find on the labelled set, where that package is installed."""

from __future__ import annotations

from typing import Any

import pytest
from labelled import Answer
from measure import measure, ours, table

from sftdata.curate.privacy.settings import PrivacyConfig


def test_the_document_has_the_figures_of_presidio_and_ours_are_no_worse() -> None:
    recognizers = pytest.importorskip("presidio_analyzer.predefined_recognizers")
    regions = PrivacyConfig().phone_regions
    searches: dict[str, tuple[Any, str]] = {
        "email": (recognizers.EmailRecognizer(), "EMAIL_ADDRESS"),
        "iban": (recognizers.IbanRecognizer(), "IBAN_CODE"),
        "credit_card": (recognizers.CreditCardRecognizer(), "CREDIT_CARD"),
        "ip_address": (recognizers.IpRecognizer(), "IP_ADDRESS"),
        "phone": (recognizers.PhoneRecognizer(supported_regions=regions), "PHONE_NUMBER"),
    }

    def presidio(text: str) -> set[Answer]:
        return {
            (kind, found.start, found.end)
            for kind, (recognizer, name) in searches.items()
            for found in recognizer.analyze(text, [name], None) or []
        }

    theirs, own = measure(presidio, exactly=False), measure(ours, exactly=False)
    written = {kind: cells[4:] for kind, cells in table("What was measured").items() if kind in searches}
    assert written == {kind: [f"{theirs.precision(kind):.3f}", f"{theirs.recall(kind):.3f}"] for kind in searches}
    for kind in searches:
        assert own.precision(kind) >= theirs.precision(kind) and own.recall(kind) >= theirs.recall(kind)
