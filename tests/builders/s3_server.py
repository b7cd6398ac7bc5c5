"""An S3 on loopback, of moto, in a thread of the test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from trainables.storage import s3_objects

BUCKET = "lab-bucket"


@contextmanager
def s3() -> Iterator[Any]:
    """Have an S3 with one empty bucket, which the environment names; yield its client."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3_objects.client.cache_clear()
        try:
            client = s3_objects.client()
            client.create_bucket(Bucket=BUCKET)
            for key in keys(client):  # all of moto's servers in a process have the same objects
                client.delete_object(Bucket=BUCKET, Key=key)
            yield client
        finally:
            s3_objects.client.cache_clear()
            server.stop()


def keys(client: Any) -> list[str]:
    """List the keys of the bucket's objects, sorted."""
    found = client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    return sorted(one["Key"] for one in found)
