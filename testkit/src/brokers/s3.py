"""moto's S3 behind a plain WSGI server: `s3.py ADDRESS PORT`."""

import os
import sys

# Parts of uploads may be as small as a test likes; S3 wants 5 MiB.
os.environ["S3_UPLOAD_PART_MIN_SIZE"] = "1"

from cheroot.wsgi import Server
from moto.s3.exceptions import NoSuchUpload
from moto.s3.models import S3Backend
from moto.server import create_backend_app

complete_known = S3Backend.complete_multipart_upload


def complete(self, bucket_name, multipart_id, *rest, **named):
    """moto answers 500 when an upload is completed that it does not know, where S3 answers 404."""
    if multipart_id not in self.get_bucket(bucket_name).multiparts:
        raise NoSuchUpload(upload_id=multipart_id)
    return complete_known(self, bucket_name, multipart_id, *rest, **named)


S3Backend.complete_multipart_upload = complete
# One service alone: what finds the service of each request takes as long as the request.
Server((sys.argv[1], int(sys.argv[2])), create_backend_app("s3"), numthreads=8).start()
