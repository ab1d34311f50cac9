"""Answers of a batch that end in an end token, found from the texts that may have one."""

import pyarrow as pa

from sftdata.encode.control_strings import count_trailing_control, trailing_control
from sftdata.encode.stats import EncodingStats
from sftdata.records.column import RecordColumn, record_array
from sftdata.records.end_tokens import EndTokens
from sftdata.records.record import Message, PlainRecord, Record

PAIR = ("user", "assistant")
END = EndTokens(())


def test_ends_are_counted_by_answer_and_a_question_that_speaks_of_one_keeps_it() -> None:
    records = [
        PlainRecord(PAIR, ["hi", "yo</s>"]),
        PlainRecord(PAIR, ["hi", "</s> yo"]),
        PlainRecord(PAIR, ["what does </s> mean?", "the end: </s>"]),
        PlainRecord(PAIR, ["hi", "<|im_end|>\n"]),
        PlainRecord(PAIR * 2, ["end in </s>, please", "yo</s>", "and again", "yo<|im_end|></s>"]),
        PlainRecord(PAIR, ["hi</s>", "yo"]),
    ]
    other = Record((Message("user", "hi"), Message("assistant", "yo<eos>", train=True)))
    texts = list(RecordColumn(pa.chunked_array([record_array(records)])).texts_containing(END.prefixes))
    stats = EncodingStats()
    live = [*enumerate(records), (6, other)]
    rows = count_trailing_control(trailing_control(texts, live, [(6, other)], END), stats)
    assert sorted(rows) == [0, 4, 6]
    assert stats.trailing_control == {"</s>": 2, "<eos>": 1}
    assert stats.changes == {"only_control": 1}
