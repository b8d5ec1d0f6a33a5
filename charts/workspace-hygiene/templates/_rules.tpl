{{/*
What the controller calls, verb by verb, and nothing else. A test compares it with deploy/kubernetes/rbac.yaml, with which the
controller itself is tested.
*/}}
{{- define "hygiene.rules.controller" -}}
# The watch; and an annotation that was heard is taken away, which is the only change of the object itself.
- apiGroups: [hygiene.dev]
  resources: [workspacehygienes]
  verbs: [get, list, watch, patch]
- apiGroups: [hygiene.dev]
  resources: [workspacehygienes/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Evidence of containers.kubernetes: which pods serve and claim, and how many there should be.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [list, watch]
{{- end }}

{{- define "hygiene.rules.secrets" -}}
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get]
{{- end }}

{{- define "hygiene.rules.lease" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- end }}

{{/* What Jobs need around them. */}}
{{- define "hygiene.rules.jobs" -}}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, patch, delete]
# The spec of a Job, which never changes, and what older ones left. Its content is the resource's own.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, get, list, delete]
# Whether the claim is there, and may be mounted by several pods.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
# Why a pod does not start.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# Who the pods are: a ServiceAccount that may read its own resource. Server-side apply needs both verbs. Nobody can give more
# than he has, but for what may be bound below.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [create, patch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [{{ include "hygiene.sweeperRole" . }}]
  verbs: [bind]
{{- end }}

{{/* What the pods of Jobs see of their namespace. */}}
{{- define "hygiene.rules.sweeper" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [list, watch]
{{- end }}

{{/* The pods of Jobs work only while somebody renews it. */}}
{{- define "hygiene.rules.lease-reader" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "hygiene.leaseName" . }}]
  verbs: [get]
{{- end }}
