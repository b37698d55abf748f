"""Watches the visible Parquet files of a directory or of a bucket, and keeps account of the rows in them.

    watch.py ROWS PLACE [ENDPOINT]

PLACE is a directory, or s3://BUCKET/PREFIX behind ENDPOINT. Each line on standard input asks for something; the answer is one
line of JSON with "rows" (visible so far) and, when something is wrong, "wrong":

    scan     what is visible now
    finish   at the end: reads everything afresh; all rows must be there, and nothing hidden or half uploaded

A visible file must never change nor vanish, so each is read once and then told by its identity. Rows are those of soak/input.rs:
n is 0..ROWS, text is n % 60 times the letter a + n % 26.
"""

import json
import os
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


class Wrong(Exception):
    pass


class Directory:
    def __init__(self, path):
        self.path = path

    def names(self):
        """All files with what tells that each is still the same; those that vanish meanwhile are hidden ones."""
        found = {}
        for base, _, names in os.walk(self.path):
            for name in names:
                path = os.path.join(base, name)
                try:
                    stat = os.stat(path)
                except FileNotFoundError:
                    if not name.startswith((".", "_")):
                        raise Wrong(f"{path} was listed and is gone") from None
                    continue
                found[os.path.relpath(path, self.path)] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return found

    def read(self, name):
        return pq.read_table(os.path.join(self.path, name), partitioning=None)

    def uploads(self):
        return []


class Bucket:
    def __init__(self, url, endpoint):
        import boto3
        from botocore.config import Config

        self.bucket, _, self.prefix = url.removeprefix("s3://").partition("/")
        self.client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 5}, s3={"addressing_style": "path"}),
        )

    def names(self):
        found = {}
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + "/"):
            for entry in page.get("Contents", []):
                name = entry["Key"][len(self.prefix) + 1:]
                found[name] = (entry["ETag"], entry["Size"])
        return found

    def read(self, name):
        body = self.client.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")["Body"].read()
        return pq.read_table(pa.BufferReader(body))

    def uploads(self):
        """Those with parts. One that was begun and not named before its process died has none, and stays (docs/decisions/0013)."""
        found = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        parts = lambda upload: self.client.list_parts(
            Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]).get("Parts", [])
        return [upload["Key"] for upload in found if parts(upload)]


def is_hidden(name):
    return any(part.startswith((".", "_")) for part in name.split("/"))


def numbers(name, table, rows):
    """The numbers in a file whose rows must all be ours."""
    n, text = table.column("n").combine_chunks(), table.column("text").combine_chunks()
    if table.num_rows == 0:
        raise Wrong(f"{name} has no rows")
    if n.null_count or text.null_count or pc.min(n).as_py() < 0 or pc.max(n).as_py() >= rows:
        raise Wrong(f"{name} has rows that were never written")
    as_numpy = n.to_numpy()
    if not (pc.binary_length(text).to_numpy() == as_numpy % 60).all():
        raise Wrong(f"{name} has texts of another length than they were written with")
    for letter in range(26):
        own = text.filter(pa.array(as_numpy % 26 == letter))
        left = pc.utf8_trim(own, characters=chr(ord("a") + letter))
        if pc.max(pc.binary_length(left)).as_py():
            raise Wrong(f"{name} has other texts than were written")
    return as_numpy


class Watch:
    def __init__(self, place, rows):
        self.place, self.rows = place, rows
        self.files, self.seen, self.visible = {}, bytearray(rows), 0

    def scan(self):
        present = {name: identity for name, identity in self.place.names().items() if not is_hidden(name)}
        for name, known in self.files.items():
            now = present.get(name)
            if now is None:
                raise Wrong(f"{name} was visible and is gone")
            if now != known:
                raise Wrong(f"{name} was visible and changed: {known}, now {now}")
        for name in present.keys() - self.files.keys():
            for n in numbers(name, self.place.read(name), self.rows).tolist():
                if self.seen[n]:
                    raise Wrong(f"row {n} is visible twice, the second time in {name}")
                self.seen[n] = 1
                self.visible += 1
            self.files[name] = present[name]

    def finish(self):
        self.scan()
        afresh = Watch(self.place, self.rows)
        afresh.scan()
        if afresh.visible != self.rows:
            missing = afresh.seen.index(0)
            raise Wrong(f"{self.rows - afresh.visible} of {self.rows} rows are missing, the first is {missing}")
        hidden = [name for name in self.place.names() if is_hidden(name)]
        if hidden:
            raise Wrong(f"hidden files were left: {hidden[:10]}")
        uploads = self.place.uploads()
        if uploads:
            raise Wrong(f"uploads were left: {uploads[:10]}")


def main():
    rows, where = int(sys.argv[1]), sys.argv[2]
    place = Bucket(where, sys.argv[3]) if where.startswith("s3://") else Directory(where)
    watch = Watch(place, rows)
    for line in sys.stdin:
        answer = {}
        try:
            watch.finish() if line.strip() == "finish" else watch.scan()
        except Wrong as wrong:
            answer["wrong"] = str(wrong)
        answer["rows"] = watch.visible
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
