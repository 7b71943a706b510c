{{- define "podgate.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "podgate.selector" -}}
app.kubernetes.io/name: podgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "podgate.labels" -}}
{{ include "podgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "podgate.image" -}}
{{- $repository := required "image.repository is not set: build the image (deploy/image), push it where your nodes pull from, and name it" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* An address and a port as one word. */}}
{{- define "podgate.listen" -}}
{{- if contains ":" .address -}}
[{{ .address }}]:{{ .port }}
{{- else -}}
{{ .address }}:{{ .port }}
{{- end -}}
{{- end -}}

{{/* A probe of the kubelet, which is on the node: where the agent listens on one address only, it has to be named. */}}
{{- define "podgate.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .metrics.port }}
  {{- if not (has .metrics.address (list "0.0.0.0" "::")) }}
  host: {{ .metrics.address | quote }}
  {{- end }}
{{- end -}}

{{- define "podgate.seccomp" -}}
type: {{ .Values.seccomp.type }}
{{- if eq .Values.seccomp.type "Localhost" }}
localhostProfile: {{ .Values.seccomp.localhostProfile }}
{{- end }}
{{- end -}}

{{- define "podgate.remove" -}}
--bin-dir=/host/cni/bin, --conf-dir=/host/cni/net.d, --pin-dir=/bpf/podgate
{{- end -}}

{{- define "podgate.remover" -}}
image: {{ include "podgate.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
resources:
  {{- toYaml .Values.cni.resources | nindent 2 }}
securityContext:
  runAsUser: 0
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
    add: [BPF, NET_ADMIN]
volumeMounts:
  - {name: bpf, mountPath: /bpf, mountPropagation: HostToContainer}
  - {name: run, mountPath: /run/podgate}
  - {name: state, mountPath: /var/lib/podgate}
  - {name: cni-bin, mountPath: /host/cni/bin}
  - {name: cni-conf, mountPath: /host/cni/net.d}
{{- end -}}

{{/* The agent's arguments about flows, their exports and DNS. */}}
{{- define "podgate.flows" -}}
{{- $api := .Values.api }}
{{- with .Values.agent.flows }}
{{- if not (kindIs "invalid" .records) }}
- --flow-records={{ int .records }}
{{- end }}
{{- if not (kindIs "invalid" .diskMiB) }}
- --flow-disk={{ int .diskMiB }}
{{- end }}
{{- if not (kindIs "invalid" .days) }}
- --flow-days={{ int .days }}
{{- end }}
{{- if .stageAll }}
- --stage-all
{{- end }}
{{- if .hubble.enabled }}
{{- if not (or (and $api.enabled $api.clientCertificates) (has .hubble.address (list "127.0.0.1" "::1"))) }}
{{- fail "agent.flows.hubble is for clients with certificates: set api.enabled and api.clientCertificates, or the address 127.0.0.1" }}
{{- end }}
- --hubble-address={{ include "podgate.listen" .hubble }}
{{- end }}
{{- end }}
{{- with .Values.agent.exports }}
{{- if .clusterName }}
- --cluster-name={{ .clusterName }}
{{- end }}
{{- if .secretName }}
- --export-secrets=/etc/podgate/exports
{{- end }}
{{- if .otlp.endpoint }}
- --export-otlp={{ .otlp.endpoint }}
{{- end }}
{{- if .clickhouse.url }}
- --export-clickhouse={{ .clickhouse.url }}
- --export-clickhouse-database={{ .clickhouse.database }}
- --export-clickhouse-user={{ .clickhouse.user }}
{{- if .clickhouse.create }}
- --export-clickhouse-create
{{- end }}
{{- end }}
{{- if .s3.endpoint }}
{{- if not .secretName }}
{{- fail "agent.exports.s3 needs agent.exports.secretName, with s3-access-key and s3-secret-key" }}
{{- end }}
{{- if eq (toString $.Values.agent.flows.diskMiB) "0" }}
{{- fail "agent.exports.s3 sends what is on the nodes' disks: agent.flows.diskMiB must not be 0" }}
{{- end }}
- --export-s3={{ .s3.endpoint }}
- --export-s3-bucket={{ .s3.bucket }}
- --export-s3-region={{ .s3.region }}
- --export-s3-prefix={{ .s3.prefix }}
{{- end }}
{{- end }}
{{- with .Values.agent.dns }}
{{- range .resolvers }}
- --dns-resolver={{ . }}
{{- end }}
{{- if ne (toJson .ports) "[53]" }}
{{- range .ports }}
- --dns-port={{ int . }}
{{- end }}
{{- end }}
{{- if ne (int .graceSeconds) 60 }}
- --dns-grace={{ int .graceSeconds }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Other labels than the agents' have: a DaemonSet must not take the page's pod for one of its own. */}}
{{- define "podgate.pageSelector" -}}
app.kubernetes.io/name: podgate-page
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "podgate.pageLabels" -}}
{{ include "podgate.pageSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "podgate.pageProbe" -}}
httpGet:
  path: /healthz
  port: page
  {{- if .tlsSecretName }}
  scheme: HTTPS
  {{- end }}
{{- end -}}

{{- define "podgate.pageRights" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
