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
