"""A receiver of OTLP over HTTP that takes what OpenTelemetry's own message definitions take, and nothing else.

Prints its port, then a line of JSON for each request that it took, until standard input ends. It is not there for
the first request, and rejects one log record of the second.
"""

import http.server
import json
import sys
import threading

from google.protobuf.json_format import MessageToDict
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics

asked = [0]


def check(message):
    """No field that the definitions don't know, at any depth."""
    unknown = UnknownFieldSet(message)
    assert len(unknown) == 0, f"{message.DESCRIPTOR.full_name} has unknown field {unknown[0].field_number}"
    for field, value in message.ListFields():
        if field.message_type:
            for one in value if field.is_repeated else [value]:
                check(one)


def check_logs(request):
    for resource in request.resource_logs:
        assert any(a.key == "service.name" for a in resource.resource.attributes), "no service.name"
        for record in (r for scope in resource.scope_logs for r in scope.log_records):
            keys = [a.key for a in record.attributes]
            assert len(keys) == len(set(keys)), f"an attribute is there twice: {keys}"
            assert record.time_unix_nano and record.observed_time_unix_nano and record.body.string_value
            assert all(a.value.WhichOneof("value") for a in record.attributes), "an attribute without a value"


def check_metrics(request):
    for resource in request.resource_metrics:
        for metric in (m for scope in resource.scope_metrics for m in scope.metrics):
            assert metric.name and metric.unit and metric.WhichOneof("data") == "sum"
            assert metric.sum.aggregation_temporality == 1 and metric.sum.is_monotonic
            for point in metric.sum.data_points:
                assert 0 < point.start_time_unix_nano < point.time_unix_nano
                assert point.WhichOneof("value") == "as_int"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        asked[0] += 1
        if asked[0] == 1:
            return self.answer(503, b"", ("retry-after", "0"))
        try:
            assert self.headers["content-type"] == "application/x-protobuf", self.headers["content-type"]
            assert self.headers["authorization"] == "Bearer t0ken", "who are you?"
            kind, check_it, answer = {
                "/v1/logs": (logs.ExportLogsServiceRequest, check_logs, logs.ExportLogsServiceResponse()),
                "/v1/metrics": (metrics.ExportMetricsServiceRequest, check_metrics, metrics.ExportMetricsServiceResponse()),
            }[self.path]
            request = kind.FromString(body)
            check(request)
            check_it(request)
        except Exception as error:
            return self.answer(400, str(error).encode())
        if asked[0] == 2:
            answer.partial_success.rejected_log_records = 1
            answer.partial_success.error_message = "one is too many"
        print(json.dumps(MessageToDict(request)), flush=True)
        self.answer(200, answer.SerializeToString(), ("content-type", "application/x-protobuf"))

    def answer(self, status, body, header=None):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if header:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
