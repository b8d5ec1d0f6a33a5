{{- define "hygiene.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "hygiene.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains (include "hygiene.name" .) .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "hygiene.name" .) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What has no namespace of its own carries the release's in its name: two releases are never one another's. */}}
{{- define "hygiene.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "hygiene.fullname" .) }}
{{- end }}

{{- define "hygiene.selectorLabels" -}}
app.kubernetes.io/name: {{ include "hygiene.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "hygiene.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "hygiene.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "hygiene.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "hygiene.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "hygiene.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "hygiene.leaseName" -}}
{{- .Values.leaderElection.leaseName | default (include "hygiene.fullname" .) }}
{{- end }}

{{/* The namespaces that are watched, as JSON; none are all. */}}
{{- define "hygiene.namespaces" -}}
{{- if .Values.watchAllNamespaces }}[]{{ else }}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | uniq | sortAlpha | toJson }}
{{- end }}
{{- end }}

{{/* The ClusterRole by which the pods of Jobs see their namespace. */}}
{{- define "hygiene.sweeperRole" -}}
{{ include "hygiene.clusterName" . }}-sweeper
{{- end }}

{{/* The pods of Jobs, of whichever release. */}}
{{- define "hygiene.sweeperLabels" -}}
app.kubernetes.io/name: workspace-hygiene-sweeper
app.kubernetes.io/managed-by: hygiene
{{- end }}

{{/* The namespaces that a volume names, as JSON. */}}
{{- define "hygiene.volumeNamespaces" -}}
{{- $named := list }}
{{- range .Values.volumes }}{{ $named = concat $named .namespaces }}{{ end }}
{{- $named | uniq | sortAlpha | toJson }}
{{- end }}

{{/* The namespace of the self-test's resource: the first that is watched. */}}
{{- define "hygiene.selfTestNamespace" -}}
{{- first (include "hygiene.namespaces" . | fromJsonArray) | default .Release.Namespace }}
{{- end }}

{{/* The job of our metrics, as the Prometheus operator calls it. */}}
{{- define "hygiene.job" -}}
{{- .Values.metrics.prometheusRule.job | default (include "hygiene.fullname" .) }}
{{- end }}

{{/* What no schema can say. */}}
{{- define "hygiene.checks" -}}
{{- if and .Values.watchAllNamespaces .Values.watchNamespaces }}
{{- fail "watchNamespaces: watchAllNamespaces is true as well; give one of the two" }}
{{- end }}
{{- if and (not .Values.leaderElection.enabled) (gt (int .Values.replicas) 1) }}
{{- fail (printf "replicas: %d controllers would work at once without leaderElection.enabled; set it, or replicas to 1" (int .Values.replicas)) }}
{{- end }}
{{- if not (or .Values.volumes .Values.jobs.enabled .Values.selfTest.enabled) }}
{{- fail "volumes: there is nothing to sweep; name a volume, or set jobs.enabled" }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) }}
{{- fail "metrics.serviceMonitor.enabled: it finds the pods by the Service; set metrics.service.enabled" }}
{{- end }}
{{- $watched := include "hygiene.namespaces" . | fromJsonArray }}
{{- $paths := list "/self-test" "/state" "/hygiene" "/tmp" }}
{{- $names := list "self-test" "state" }}
{{- range $i, $volume := .Values.volumes }}
{{- if has $volume.name $names }}
{{- fail (printf "volumes[%d].name: %s is taken" $i $volume.name) }}
{{- end }}
{{- $names = append $names $volume.name }}
{{- if has $volume.mountPath $paths }}
{{- fail (printf "volumes[%d].mountPath: %s is taken" $i $volume.mountPath) }}
{{- end }}
{{- $paths = append $paths $volume.mountPath }}
{{- range $namespace := $volume.namespaces }}
{{- if and $watched (not (has $namespace $watched)) }}
{{- fail (printf "volumes[%d].namespaces: %s is not watched, so nobody could use the volume there; add it to watchNamespaces, or correct it" $i $namespace) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* As the restricted profile of pod security wants it, unless it runs as root. */}}
{{- define "hygiene.podSecurityContext" -}}
{{- $root := eq (toString .Values.runAs.user) "0" }}
runAsNonRoot: {{ not $root }}
{{- if not (kindIs "invalid" .Values.runAs.user) }}
runAsUser: {{ int64 .Values.runAs.user }}
{{- end }}
{{- if not (kindIs "invalid" .Values.runAs.group) }}
runAsGroup: {{ int64 .Values.runAs.group }}
{{- end }}
{{- with .Values.runAs.supplementalGroups }}
supplementalGroups: {{ toJson . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "hygiene.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  {{- with .Values.runAs.capabilities }}
  add: {{ toJson . }}
  {{- end }}
{{- end }}
