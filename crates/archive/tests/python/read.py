"""Reads an archive with DuckDB, pandas and pyarrow, and prints what each of them makes of it as JSON."""

import json
import pathlib
import sys

import duckdb
import pandas
import pyarrow.parquet

directory = sys.argv[1]
flows, edges = f"{directory}/flows-*.parquet", f"{directory}/edges-*.parquet"
flow_files = sorted(pathlib.Path(directory).glob("flows-*.parquet"))
edge_files = sorted(pathlib.Path(directory).glob("edges-*.parquet"))
database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")


def ask(question):
    return database.execute(question).fetchall()


seen = {
    "duckdb_types": dict(ask(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{flows}')")),
    "duckdb_edge_types": dict(ask(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{edges}')")),
    "duckdb_flows": ask(f"SELECT count(*), count(DISTINCT id), count(egress_verdict) FROM '{flows}'")[0],
    "duckdb_first": ask(f"SELECT strftime(min(time), '%Y-%m-%dT%H:%M:%S.%f'), CAST(min(id) AS VARCHAR) FROM '{flows}'")[0],
    "duckdb_within": ask(f"SELECT count(*) FROM '{flows}' WHERE time >= TIMESTAMPTZ '2026-11-23 14:00:01+00'")[0][0],
    "duckdb_verdicts": dict(ask(f"SELECT verdict, count(*) FROM '{flows}' GROUP BY ALL")),
    "duckdb_labels": ask(
        f"SELECT source_labels->>'app' AS app, count(*) FROM '{flows}' WHERE source_kind = 'pod' GROUP BY ALL ORDER BY ALL"
    ),
    "duckdb_bytes": int(ask(f"SELECT sum(bytes) FROM '{edges}'")[0][0]),
}

frame = pandas.concat(pandas.read_parquet(path) for path in flow_files)
seen["pandas_types"] = {name: str(kind) for name, kind in frame.dtypes.items()}
seen["pandas_flows"] = len(frame)
seen["pandas_first"] = frame["time"].min().isoformat()
seen["pandas_suppressed"] = int(frame["suppressed"].sum())
frame = pandas.concat(pandas.read_parquet(path) for path in edge_files)
seen["pandas_bytes"] = int(frame["bytes"].sum())

denied = [("verdict", "=", "denied")]
seen["arrow_denied"] = sum(pyarrow.parquet.read_table(path, filters=denied).num_rows for path in flow_files)
print(json.dumps(seen))
