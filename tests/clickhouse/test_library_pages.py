"""Pages of the engine's library: which may be dropped, and that queries go on afterwards."""

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.library_pages import (
    Mapping,
    droppable,
    read_mappings,
    release_library_pages,
)

SMAPS = """\
7f0000000000-7f0000002000 r-xp 00000000 fe:00 12   /env/_chdb.abi3.so
Size:                  8 kB
Rss:                   8 kB
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00002000 fe:00 12   /env/_chdb.abi3.so
Anonymous:             4 kB
7f0000002000-7f0000003000 r--p 00002000 fe:00 12   /env/_chdb.abi3.so
Anonymous:             0 kB
Swap:                  4 kB
7f0000003000-7f0000004000 rw-p 00003000 fe:00 12   /env/_chdb.abi3.so
Anonymous:             0 kB
7f0000004000-7f0000005000 r-xp 00000000 fe:00 13   /env/_chdb/other.so
Anonymous:             0 kB
7f0000005000-7f0000006000 rw-p 00000000 00:00 0
Anonymous:             4 kB
""".splitlines()


def test_mappings_are_read_with_the_memory_that_their_file_does_not_hold() -> None:
    library = "/env/_chdb.abi3.so"
    assert read_mappings(SMAPS) == [
        Mapping(0x7F0000000000, 0x7F0000002000, "r-xp", library, 0),
        Mapping(0x7F0000002000, 0x7F0000003000, "r--p", library, 4),
        Mapping(0x7F0000002000, 0x7F0000003000, "r--p", library, 4),
        Mapping(0x7F0000003000, 0x7F0000004000, "rw-p", library, 0),
        Mapping(0x7F0000004000, 0x7F0000005000, "r-xp", "/env/_chdb/other.so", 0),
        Mapping(0x7F0000005000, 0x7F0000006000, "rw-p", "", 4),
    ]


def test_only_read_only_pages_of_the_library_that_its_file_holds_are_dropped() -> None:
    """Relocated and written pages exist in memory or swap only. Other files are left alone."""
    assert [mapping.start for mapping in droppable(read_mappings(SMAPS))] == [0x7F0000000000]


def test_engine_works_after_its_pages_were_dropped(tables: Database) -> None:
    release_library_pages()
    assert tables.query("SELECT sum(number) FROM numbers(10)").item() == 45
