"""Masters as they are: what each sends when a performer plays, stops, goes elsewhere and loops.

The dumps, and where each behaviour is from, are in ``tests/dialects``.
"""

import runpy

from dialect_dumps import FOLDER, all_dumps


def test_the_dumps_are_what_their_writer_writes() -> None:
    written = runpy.run_path(str(FOLDER / "write.py"))["dumps"]()
    there = {
        str(file.relative_to(FOLDER)): file.read_text(encoding="utf-8")
        for file in FOLDER.glob("*/*.txt")
    }
    assert there == written


def test_every_dump_can_be_read() -> None:
    dumps = all_dumps()
    assert len(dumps) > 60
    for dump in dumps:
        assert dump.messages
        assert dump.strokes()
