"""moto's S3, which checks signatures and permissions as AWS computes them.

Prints its port, access key and secret key, then serves until standard input ends; then prints what is in the
bucket as JSON: keys with sizes.
"""

import json
import logging
import os
import sys

# Until the key is there, nobody can sign.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"


def client(service, key="none", secret="none"):
    return boto3.client(
        service, endpoint_url=url, region_name="eu-central-1", aws_access_key_id=key, aws_secret_access_key=secret
    )


iam = client("iam")
iam.create_user(UserName="podgate")
key = iam.create_access_key(UserName="podgate")["AccessKey"]
allow = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}
iam.put_user_policy(UserName="podgate", PolicyName="all", PolicyDocument=json.dumps(allow))
client("s3").create_bucket(Bucket="flows", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
print(port, key["AccessKeyId"], key["SecretAccessKey"], flush=True)
sys.stdin.readline()
s3 = client("s3", key["AccessKeyId"], key["SecretAccessKey"])
there = s3.list_objects_v2(Bucket="flows").get("Contents", [])
print(json.dumps({object["Key"]: object["Size"] for object in there}), flush=True)
server.stop()
