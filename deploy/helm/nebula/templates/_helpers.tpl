{{- define "nebula.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "nebula.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- /* Labels by which pods are selected; the argument is (dict "root" $ "component" "manager"). */ -}}
{{- define "nebula.selector" -}}
app.kubernetes.io/name: nebula
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "nebula.labels" -}}
{{ include "nebula.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- /* Settings of all parts, none of them secret. */ -}}
{{- define "nebula.settings" -}}
NEBULA_STORE: {{ .Values.engines.store | quote }}
{{- with .Values.engines.reports }}
NEBULA_REPORTS: {{ . | quote }}
{{- end }}
NEBULA_REDIS: {{ .Values.engines.redis | quote }}
NEBULA_BUS: {{ .Values.engines.bus | quote }}
NEBULA_DATA: /tmp/nebula
{{- range $key, $variable := dict "storeCa" "NEBULA_STORE_CA" "reportsCa" "NEBULA_REPORTS_CA" "redisCa" "NEBULA_REDIS_CA" "busCa" "NEBULA_BUS_CA" "busCert" "NEBULA_BUS_CERT" "busKey" "NEBULA_BUS_KEY" }}
{{- with get $.Values.secrets.keys $key }}
{{ $variable }}: /etc/nebula/secrets/{{ . }}
{{- end }}
{{- end }}
{{- range $key, $variable := dict "clusterKey" "NEBULA_CLUSTER_KEY" "adminPassword" "NEBULA_ADMIN_PASSWORD" "adminToken" "NEBULA_ADMIN_TOKEN" "storePassword" "NEBULA_STORE_PASSWORD" "reportsPassword" "NEBULA_REPORTS_PASSWORD" "redisPassword" "NEBULA_REDIS_PASSWORD" "busPassword" "NEBULA_BUS_PASSWORD" }}
{{- with get $.Values.secrets.keys $key }}
{{ $variable }}_FILE: /etc/nebula/secrets/{{ . }}
{{- end }}
{{- end }}
{{- if .Values.tls.existingSecret }}
NEBULA_TLS_CERT: /etc/nebula/tls/tls.crt
NEBULA_TLS_KEY: /etc/nebula/tls/tls.key
{{- with .Values.tls.caKey }}
NEBULA_TLS_CA: /etc/nebula/tls/{{ . }}
{{- end }}
{{- end }}
{{- range $variable, $value := .Values.settings }}
{{ $variable }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "nebula.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "nebula.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "nebula.volumes" -}}
- name: tmp
  emptyDir: {}
- name: secrets
  secret: { secretName: {{ .Values.secrets.existingSecret }}, defaultMode: 0440 }
{{- with .Values.tls.existingSecret }}
- name: tls
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end -}}

{{- define "nebula.mounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: secrets, mountPath: /etc/nebula/secrets, readOnly: true }
{{- if .Values.tls.existingSecret }}
- { name: tls, mountPath: /etc/nebula/tls, readOnly: true }
{{- end }}
{{- end -}}

{{- /* /healthz follows no engine, so an engine that is absent restarts nothing. */ -}}
{{- define "nebula.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{- /* Spread over nodes, and over zones where there are any. */ -}}
{{- define "nebula.spread" -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "nebula.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{- /* What all pods share; the argument is (dict "root" $ "component" "manager" "values" .Values.manager). */ -}}
{{- define "nebula.pod" -}}
serviceAccountName: {{ .root.Values.serviceAccountName }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "nebula.podSecurity" .root | nindent 2 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "nebula.spread" . | nindent 0 }}
volumes:
  {{- include "nebula.volumes" .root | nindent 2 }}
{{- end -}}

{{- /* How many partitions the topic of reports has: as many reporters can work. */ -}}
{{- define "nebula.partitions" -}}
{{- regexFind "[?&]partitions=[0-9]+" .Values.engines.bus | default "=48" | regexFind "[0-9]+" -}}
{{- end -}}

{{- /* MiB for a manager: its own, and those of its devices (docs/performance.md, docs/tls.md), with room for reconnects. */ -}}
{{- define "nebula.managerMemory" -}}
{{- $perDevice := ternary 48 120 (empty .Values.tls.existingSecret) -}}
{{- add 384 (div (mul .Values.manager.devicesPerShard $perDevice) 1024) -}}
{{- end -}}
