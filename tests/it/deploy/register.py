"""Registers the files of deploy/ecs with a stand-in for AWS, and prints what it answers as one JSON object.

The client checks every request against AWS's own description of the interface before it sends it. The server is part of
this process, on loopback, and ends with it. On standard input comes a list of overrides for run-task; these are checked in
the same way. With the answers it prints which calls there are, by the service's name in IAM.
"""

import json
import os
import pathlib
import sys

import boto3
import botocore
from botocore.validate import validate_parameters
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"


def main(folder):
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    # Nothing of whoever runs this counts.
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy"):
        os.environ.pop(name, None)
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        print(json.dumps(register(folder, "http://{}:{}".format(*server.get_host_and_port())), default=str))
    finally:
        server.stop()


def register(folder, endpoint):
    def client(service):
        return boto3.client(service, region_name=REGION, endpoint_url=endpoint)

    def request(name):
        return json.loads((folder / name).read_text())

    ecs, iam, service = client("ecs"), client("iam"), request("service.json")
    ecs.create_cluster(clusterName=service["cluster"])
    ec2 = client("ec2")
    # The stand-in wants subnets and groups that exist; the file names examples.
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    network["subnets"] = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    network["securityGroups"] = [group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"][:1]]
    definition = ecs.register_task_definition(**request("task-definition.json"))["taskDefinition"]
    policies = {}
    for path in sorted((folder / "policies").glob("*.json")):
        # The stand-in refuses documents that IAM would refuse.
        made = iam.create_policy(PolicyName=path.stem, PolicyDocument=path.read_text())["Policy"]["Arn"]
        read = iam.get_policy_version(PolicyArn=made, VersionId="v1")["PolicyVersion"]["Document"]
        policies[path.stem] = read
    run_task = ecs.meta.service_model.operation_model("RunTask").input_shape
    for overrides in json.load(sys.stdin):
        validate_parameters(request("run-task.json") | {"overrides": overrides}, run_task)
    models = [client(name).meta.service_model for name in ("ecs", "efs")]
    calls = {model.signing_name: {botocore.xform_name(name): name for name in model.operation_names} for model in models}
    made = ecs.create_service(**service)["service"]
    return {"taskDefinition": definition, "service": made, "policies": policies, "calls": calls}


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
