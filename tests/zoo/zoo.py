"""`make zoo`: 18 ordinary kinds of conversation under some 150 chat templates, judged; writes docs/families.md.

python tests/zoo/zoo.py [--only NAME-PART] [--quick]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "zoo"
DOCUMENT = ROOT / "docs" / "families.md"
sys.path.insert(0, str(ROOT / "tests" / "encode"))  # the oracle, also in processes that import this file


def judged(name: str, template: str, ways: bool) -> list[Any]:
    """The outcomes of all kinds of conversation under a template."""
    import transformers
    from zoo_measure import Animal

    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="zoo") as folder:
        return list(Animal(name, template, Path(folder)).outcomes(ways=ways))


def main() -> None:
    """Fetch, encode, judge, print, write. The exit code is 1 if any mask or prompt is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only templates with this in their names; writes no document")
    parser.add_argument("--quick", action="store_true", help="does not try what refusals name; writes no document")
    args = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    from zoo_fetch import fetch
    from zoo_measure import distinct
    from zoo_report import document, totals

    templates = {name: template for name, template in distinct(fetch(CACHE)).items() if args.only in name}
    outcomes = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        ways = [not args.quick] * len(templates)
        for name, found in zip(templates, pool.map(judged, templates, templates.values(), ways)):
            outcomes[name] = found
            trained = sum(outcome.trained > 0 for outcome in found)
            print(f"{name}: {trained} of {len(found)} trained", flush=True)
            for outcome in found:
                for problem in (*outcome.wrong, *outcome.way_wrong):
                    print(f"  WRONG: {outcome.kind}: {outcome.way} {problem}", flush=True)
    figures = totals(outcomes)
    print(*(f"{number:6} {what}" for what, number in figures.items()), sep="\n")
    if not args.only and not args.quick:
        DOCUMENT.write_text(document(outcomes), encoding="utf-8")
    sys.exit(1 if figures["wrong"] or figures["wrong with the named"] else 0)


if __name__ == "__main__":
    main()
