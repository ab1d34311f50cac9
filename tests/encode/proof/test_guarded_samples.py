"""A batch of guarded samples gives back the samples of each record."""

from __future__ import annotations

from sftdata.encode.proof.guarded_samples import GuardedBatch, GuardedSample


def test_a_batch_knows_the_samples_of_each_record() -> None:
    batch = GuardedBatch()
    batch.add(0, ["a", "b"], [1, 1], (1,))
    batch.add(2, ["c", "d", "e"], [0, 1, 0], (1,))
    batch.add(2, ["f", "g"], [0, 0], (3,))
    assert [batch.samples_of(owner) for owner in range(4)] == [
        [GuardedSample(("a", "b"), (1,))],
        [],
        [GuardedSample(("c", "d", "e"), (1,)), GuardedSample(("f", "g"), (3,))],
        [],
    ]
