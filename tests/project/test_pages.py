"""What README.md and docs/ show is what happens: every block of the pages that start in an empty folder is run.

Another file has the other pages, so that two processes of pytest share them.
"""

from __future__ import annotations

import pytest
from documents import PAGES
from runner import Runner


@pytest.mark.parametrize("name", [page.name for page in PAGES.values() if page.runs and not page.folder])
def test_the_blocks_of_a_page_do_what_the_page_says(name: str, runner: Runner) -> None:
    problems = runner.problems(PAGES[name])
    assert not problems, "\n".join(problems)
