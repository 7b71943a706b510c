"""ClickHouse's engine (chdb) behind as much of ClickHouse's HTTP interface as podgate uses.

Prints its port, then serves until standard input ends. The user is `writer`, the password `right`. The first
insert fails after it was done, as when an answer gets lost.
"""

import http.server
import sys
import threading
import urllib.parse

from chdb import session

engine = session.Session()
lock = threading.Lock()
lost = [False]
settings = {
    "insert_deduplication_token",
    "deduplicate_blocks_in_dependent_materialized_views",
    "date_time_input_format",
    "max_partitions_per_insert_block",
    "output_format_json_quote_64bit_integers",
    "date_time_output_format",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        parameters = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, strict_parsing=True))
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if (self.headers["x-clickhouse-user"], self.headers["x-clickhouse-key"]) != ("writer", "right"):
            return self.answer(403, b"Code: 516. DB::Exception: writer: Authentication failed")
        database = parameters.pop("database")
        query = parameters.pop("query", None)
        unknown = set(parameters) - settings
        if unknown:
            return self.answer(404, f"Code: 115. DB::Exception: Unknown setting {unknown}".encode())
        with lock:
            try:
                engine.query("USE `" + database.replace("`", "\\`") + "`")
                for name, value in parameters.items():
                    engine.query(f"SET {name} = '{value}'")
                if query and body:
                    engine.query(f"{query}\n{body}")
                    answer = b""
                    if not lost[0]:
                        lost[0] = True
                        return self.answer(502, b"the answer got lost")
                else:
                    answer = engine.query(query or body).bytes()
            except Exception as error:
                return self.answer(400, str(error).encode())
        self.answer(200, answer)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
