-- podgate in ClickHouse: flows, totals of edges by minute, and their sums by hour.
-- Run it as often as you like, and change the TTLs to what you want to keep. Columns are those of the Parquet files.

CREATE TABLE IF NOT EXISTS flows
(
    id UUID,
    time DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    node LowCardinality(String),
    verdict LowCardinality(String),
    protocol LowCardinality(String),
    tcp_flags LowCardinality(String),
    icmp_type Nullable(UInt8),
    icmp_code Nullable(UInt8),
    reply Bool,
    cut Bool,
    suppressed UInt64,
    policy_version LowCardinality(String),
    source_ip String CODEC(ZSTD),
    source_port UInt16,
    source_kind LowCardinality(String),
    source_namespace LowCardinality(String),
    source_pod String CODEC(ZSTD),
    source_owner_kind LowCardinality(String),
    source_owner LowCardinality(String),
    source_node LowCardinality(String),
    source_labels String CODEC(ZSTD),
    source_name String CODEC(ZSTD),
    source_dns String CODEC(ZSTD),
    destination_ip String CODEC(ZSTD),
    destination_port UInt16,
    destination_kind LowCardinality(String),
    destination_namespace LowCardinality(String),
    destination_pod String CODEC(ZSTD),
    destination_owner_kind LowCardinality(String),
    destination_owner LowCardinality(String),
    destination_node LowCardinality(String),
    destination_labels String CODEC(ZSTD),
    destination_name String CODEC(ZSTD),
    destination_dns String CODEC(ZSTD),
    asked_ip String CODEC(ZSTD),
    asked_port Nullable(UInt16),
    service_namespace LowCardinality(String),
    service LowCardinality(String),
    service_port Nullable(UInt16),
    egress_verdict LowCardinality(String),
    egress_reason LowCardinality(String),
    egress_policy_kind LowCardinality(String),
    egress_policy_namespace LowCardinality(String),
    egress_policy LowCardinality(String),
    egress_tier LowCardinality(String),
    egress_list LowCardinality(String),
    egress_rule Nullable(UInt32),
    egress_written LowCardinality(String),
    egress_isolated_by LowCardinality(String),
    egress_nearest String CODEC(ZSTD),
    ingress_verdict LowCardinality(String),
    ingress_reason LowCardinality(String),
    ingress_policy_kind LowCardinality(String),
    ingress_policy_namespace LowCardinality(String),
    ingress_policy LowCardinality(String),
    ingress_tier LowCardinality(String),
    ingress_list LowCardinality(String),
    ingress_rule Nullable(UInt32),
    ingress_written LowCardinality(String),
    ingress_isolated_by LowCardinality(String),
    ingress_nearest String CODEC(ZSTD),
    staged_verdict LowCardinality(String),
    staged String CODEC(ZSTD)
)
ENGINE = MergeTree
PARTITION BY toDate(time)
ORDER BY (time, id)
TTL toDateTime(time) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS edges
(
    minute DateTime64(6, 'UTC') CODEC(Delta, ZSTD),
    node LowCardinality(String),
    policy_version LowCardinality(String),
    protocol LowCardinality(String),
    port UInt16,
    verdict LowCardinality(String),
    source_kind LowCardinality(String),
    source_namespace LowCardinality(String),
    source_owner_kind LowCardinality(String),
    source_owner LowCardinality(String),
    source_node LowCardinality(String),
    source_ip String CODEC(ZSTD),
    source_name String CODEC(ZSTD),
    destination_kind LowCardinality(String),
    destination_namespace LowCardinality(String),
    destination_owner_kind LowCardinality(String),
    destination_owner LowCardinality(String),
    destination_node LowCardinality(String),
    destination_ip String CODEC(ZSTD),
    destination_name String CODEC(ZSTD),
    egress_reason LowCardinality(String),
    egress_policy_kind LowCardinality(String),
    egress_policy_namespace LowCardinality(String),
    egress_policy LowCardinality(String),
    egress_tier LowCardinality(String),
    egress_list LowCardinality(String),
    egress_rule Nullable(UInt32),
    egress_written LowCardinality(String),
    egress_isolated_by LowCardinality(String),
    ingress_reason LowCardinality(String),
    ingress_policy_kind LowCardinality(String),
    ingress_policy_namespace LowCardinality(String),
    ingress_policy LowCardinality(String),
    ingress_tier LowCardinality(String),
    ingress_list LowCardinality(String),
    ingress_rule Nullable(UInt32),
    ingress_written LowCardinality(String),
    ingress_isolated_by LowCardinality(String),
    connections UInt64 CODEC(T64, ZSTD),
    packets UInt64 CODEC(T64, ZSTD),
    bytes UInt64 CODEC(T64, ZSTD),
    reply_packets UInt64 CODEC(T64, ZSTD),
    reply_bytes UInt64 CODEC(T64, ZSTD)
)
ENGINE = MergeTree
PARTITION BY toDate(minute)
ORDER BY (destination_namespace, destination_owner, source_namespace, source_owner, port, minute)
TTL toDateTime(minute) + INTERVAL 30 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- What a service map needs of the last year, without reasons and nodes.
CREATE TABLE IF NOT EXISTS edges_by_hour
(
    hour DateTime('UTC'),
    source_kind LowCardinality(String),
    source_namespace LowCardinality(String),
    source_owner_kind LowCardinality(String),
    source_owner LowCardinality(String),
    destination_kind LowCardinality(String),
    destination_namespace LowCardinality(String),
    destination_owner_kind LowCardinality(String),
    destination_owner LowCardinality(String),
    protocol LowCardinality(String),
    port UInt16,
    verdict LowCardinality(String),
    connections UInt64,
    packets UInt64,
    bytes UInt64,
    reply_packets UInt64,
    reply_bytes UInt64
)
ENGINE = SummingMergeTree((connections, packets, bytes, reply_packets, reply_bytes))
PARTITION BY toYYYYMM(hour)
ORDER BY (destination_namespace, destination_owner, source_namespace, source_owner, port, protocol, verdict, hour,
          source_kind, source_owner_kind, destination_kind, destination_owner_kind)
TTL hour + INTERVAL 365 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS edges_by_hour_sums TO edges_by_hour AS
SELECT
    toStartOfHour(toDateTime(minute, 'UTC')) AS hour,
    source_kind, source_namespace, source_owner_kind, source_owner,
    destination_kind, destination_namespace, destination_owner_kind, destination_owner,
    protocol, port, verdict,
    sum(connections) AS connections,
    sum(packets) AS packets,
    sum(bytes) AS bytes,
    sum(reply_packets) AS reply_packets,
    sum(reply_bytes) AS reply_bytes
FROM edges
GROUP BY ALL;
