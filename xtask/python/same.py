"""Compares the rows of TSV files with those of the Parquet files that were made of them, by two readers.

    same.py DIRECTORY TSV...

DIRECTORY holds day=YYYY-MM-DD/part-*.parquet; TSV files have a header and neither quotes nor escapes. Reads the Parquet files by
pyarrow and by DuckDB; each row (all columns, as text) must come as often as it stands in the TSV files. Prints what it counted.
"""

import collections
import glob
import os
import sys

import duckdb
import pyarrow.parquet as pq


def wanted(paths):
    rows, header = collections.Counter(), None
    for path in paths:
        with open(path, encoding="utf-8", newline="\n") as file:
            names = next(file).rstrip("\n").split("\t")
            if header not in (None, names):
                sys.exit(f"{path} has the columns {names}, another file has {header}")
            header = names
            for line in file:
                rows[tuple(line.rstrip("\n").split("\t"))] += 1
    return header, rows


def same(by, found, expected):
    if found != expected:
        gone, added = expected - found, found - expected
        sys.exit(f"{by}: {gone.total()} rows are missing ({next(iter(gone), None)}), "
                 f"{added.total()} are too many ({next(iter(added), None)})")


def main():
    out, paths = sys.argv[1], sys.argv[2:]
    header, expected = wanted(paths)
    files = sorted(glob.glob(os.path.join(out, "**", "[!._]*"), recursive=True))
    files = [path for path in files if os.path.isfile(path)]
    days = {os.path.relpath(os.path.dirname(path), out) for path in files}
    if not all(day.startswith("day=") and len(day) == len("day=2000-01-01") for day in days):
        sys.exit(f"not all files lie in the bucket of a day: {sorted(days)}")

    def text(value):
        return "" if value is None else str(value)

    def rows_of(columns):
        return collections.Counter(zip(*([text(value) for value in column] for column in columns)))

    found = collections.Counter()
    for path in files:
        table = pq.ParquetFile(path).read(columns=header)
        found += rows_of([table.column(name).to_pylist() for name in header])
    same("pyarrow", found, expected)
    query = "select {} from read_parquet(?, hive_partitioning = false)".format(
        ", ".join('"{}"'.format(name.replace('"', '""')) for name in header))
    fetched = duckdb.execute(query, [files]).fetchall()
    same("DuckDB", collections.Counter(tuple(map(text, row)) for row in fetched), expected)
    print(f"{expected.total()} rows of {len(paths)} TSV file(s) in {len(files)} Parquet file(s), days {sorted(days)}: "
          "equal by pyarrow and by DuckDB")


if __name__ == "__main__":
    main()
