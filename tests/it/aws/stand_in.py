"""Moto's stand-in for ECS and EFS, with what tests force: `POST /force` calls the function of this file that "do" names.

Listens on loopback, prints its port, and ends when its standard input does. Where moto differs from AWS it is put right here:
it lists tasks by desired status and by service, pages of a hundred, and describes no more than a hundred tasks at once.
"""

import json
import sys
import threading
from datetime import datetime, timedelta, timezone
from os import _exit

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.ecs import ecs_backends
from moto.ecs.exceptions import InvalidParameterException
from moto.ecs.models import Task
from moto.ecs.responses import EC2ContainerServiceResponse as Ecs
from moto.ec2 import ec2_backends
from moto.efs import efs_backends
from moto.efs.models import FileSystem
from moto.moto_api import state_manager
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

REGION = "eu-central-1"
PAGE = 100
REPLICATIONS = {}
LOCK = threading.Lock()
ecs = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
efs = efs_backends[DEFAULT_ACCOUNT_ID][REGION]


def list_tasks(self):
    cluster = ecs._get_cluster(self._get_param("cluster"))
    service, family = self._get_param("serviceName"), self._get_param("family")
    desired = self._get_param("desiredStatus") or "RUNNING"
    first = int(self._get_param("nextToken") or 0)
    with LOCK:
        tasks = list(ecs.tasks.get(cluster.name, {}).values())
    arns = [
        task.task_arn
        for task in tasks
        if task.desired_status == desired
        and (not service or task.group == f"service:{service}")
        and (not family or task.task_definition_arn.split("/")[-1].split(":")[0] == family)
    ]
    answer = {"taskArns": arns[first : first + PAGE]}
    if first + PAGE < len(arns):
        answer["nextToken"] = str(first + PAGE)
    return ActionResult(answer)


def at_most_a_hundred(describe):
    def checked(self):
        if len(self._get_param("tasks", [])) > PAGE:
            raise InvalidParameterException("tasks can have at most 100 items")
        with LOCK:
            return describe(self)

    return checked


Ecs.list_tasks = list_tasks
Ecs.describe_tasks = at_most_a_hundred(Ecs.describe_tasks)
FileSystem.size_in_bytes = property(lambda self: getattr(self, "_sizes", {"Value": 0, "Timestamp": 0}))
state_manager.set_transition("ecs::task", {"progression": "manual", "times": 1_000_000})


def put(thing, values):
    """Sets attributes; those that end with _at are given in seconds ago."""
    for name, value in values.items():
        if name.endswith("_at"):
            value = datetime.now(timezone.utc) - timedelta(seconds=value)
        setattr(thing, name, value)


def find(arn):
    return next(task for tasks in ecs.tasks.values() for task in tasks.values() if task.task_arn == arn)


def service(cluster, service, count):
    """A cluster with a service that has come to rest."""
    ecs.create_cluster(cluster)
    define("collab")
    made = ecs.create_service(cluster, service, count, task_definition_str="collab")
    set_service(cluster, service, {"desired_count": count, "running_count": count, "pending_count": 0})
    made.deployments[0]["rolloutState"] = "COMPLETED"


def define(family):
    if family not in ecs.task_definitions:
        ecs.register_task_definition(family, [{"name": "main", "image": "none", "memory": 64}])


def set_service(cluster, service, values):
    made = ecs.services[f"{cluster}:{service}"]
    if "rollout_state" in values:
        made.deployments[0]["rolloutState"] = values.pop("rollout_state")
    put(made, values)


def task(cluster, family="collab", service=None, tags=None, values=None, count=1):
    define(family)
    cluster = ecs._get_cluster(cluster)
    group, arns = f"service:{service}" if service else f"family:{family}", []
    for number in range(count):
        given = [{"key": key, "value": value.replace("#", str(number))} for key, value in (tags or {}).items()]
        made = Task(cluster, ecs.describe_task_definition(family), None, {}, ecs, group, tags=given)
        put(made, {"health_status": "HEALTHY", **(values or {})})
        with LOCK:
            ecs.tasks.setdefault(cluster.name, {})[made.task_arn] = made
        arns.append(made.task_arn)
    return arns


def set_task(arn, values):
    put(find(arn), values)


def file_system(token):
    made = efs.create_file_system(token, "", False, "", "", 0, "", False, [])
    subnet = ec2_backends[DEFAULT_ACCOUNT_ID][REGION].describe_subnets()[0]
    efs.create_mount_target(made.file_system_id, subnet.id)
    return made.file_system_id


def set_file_system(id, values):
    put(efs.file_systems_by_id[id], values)


def replicate(source, to):
    for id in (source, to):
        REPLICATIONS[id] = {
            "SourceFileSystemId": source,
            "SourceFileSystemRegion": REGION,
            "SourceFileSystemArn": "arn",
            "OriginalSourceFileSystemArn": "arn",
            "CreationTime": 1_700_000_000,
            "Destinations": [{"Status": "ENABLED", "FileSystemId": to, "Region": REGION}],
        }


moto = DomainDispatcherApplication(create_backend_app)


def application(environ, start):
    path = environ["PATH_INFO"]
    if path == "/force":
        asked = json.loads(Request(environ).get_data())
        answer = Response(json.dumps(globals()[asked.pop("do")](**asked)))
    elif path.endswith("/replication-configurations"):
        found = REPLICATIONS.get(Request(environ).args["FileSystemId"])
        answer = Response(json.dumps({"Replications": [found]}))
        if not found:
            headers = {"x-amzn-errortype": "ReplicationNotFound"}
            answer = Response(json.dumps({"ErrorCode": "ReplicationNotFound"}), 404, headers)
    else:
        return moto(environ, start)
    return answer(environ, start)


class Quiet(WSGIRequestHandler):
    def log_request(self, *_):
        pass


server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
threading.Thread(target=lambda: (sys.stdin.read(), _exit(0)), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
