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
