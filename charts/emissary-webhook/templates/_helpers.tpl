{{/* Labels of everything. The selector is the first alone, since it cannot change. */}}
{{- define "emissary-webhook.labels" -}}
app.kubernetes.io/name: emissary-webhook
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What other values say of the settings, and over it the settings themselves. */}}
{{- define "emissary-webhook.settings" -}}
{{- $made := dict "mode" .Values.mode "registry" (dict "snapshot" "/var/lib/emissary-webhook/images") }}
{{- if not .Values.rbac.templates }}
{{- $_ := set $made.registry "prefetch" (dict "enabled" false) }}
{{- end }}
{{- /* What may be read is what is read. */}}
{{- $cluster := dict }}
{{- with .Values.namespaces }}
{{- $_ := set $cluster "namespaces" . }}
{{- end }}
{{- if not .Values.rbac.limitRanges }}
{{- $_ := set $cluster "limitRanges" false }}
{{- end }}
{{- if .Values.rbac.nodes }}
{{- $_ := set $cluster "nodePlatforms" true }}
{{- end }}
{{- if eq .Values.rbac.secrets "all-secrets-in-the-cluster" }}
{{- $_ := set $cluster "pullSecrets" "every-secret-in-the-cluster" }}
{{- else if eq .Values.rbac.secrets "namespaces" }}
{{- $names := list }}
{{- $in := list }}
{{- range .Values.rbac.secretNamespaces }}
{{- $in = append $in .namespace }}
{{- $names = concat $names .names }}
{{- end }}
{{- $_ := set $cluster "pullSecrets" "named-namespaces" }}
{{- $_ := set $cluster "pullSecretNamespaces" $in }}
{{- $_ := set $cluster "pullSecretNames" ($names | uniq) }}
{{- end }}
{{- with $cluster }}
{{- $_ := set $made "cluster" . }}
{{- end }}
{{- if .Values.storedTemplates }}
{{- $_ := set $made "workflows" (dict "kinds" (list "Workflow" "WorkflowTemplate" "ClusterWorkflowTemplate" "CronWorkflow")) }}
{{- end }}
{{- if .Values.openshift }}
{{- $_ := set $made "rewrite" (dict "profile" "openshift") }}
{{- end }}
{{- with .Values.controllers }}
{{- $_ := set $made "controllers" . }}
{{- end }}
{{- if .Values.review.configMap }}
{{- $_ := set $made "review" (dict "policies" (list "/etc/emissary-webhook/policies")) }}
{{- end }}
{{- $server := dict }}
{{- if eq .Values.certificates.source "self-managed" }}
{{- $_ := set $server "certificates" "self-managed" }}
{{- end }}
{{- if ne (int .Values.port) 10250 }}
{{- $_ := set $server "listen" (printf "[::]:%d" (int .Values.port)) }}
{{- end }}
{{- if ne (int .Values.plainPort) 8080 }}
{{- $_ := set $server "plainListen" (printf "[::]:%d" (int .Values.plainPort)) }}
{{- end }}
{{- if $server }}
{{- $_ := set $made "server" $server }}
{{- end }}
{{- toYaml (mergeOverwrite $made (deepCopy .Values.settings)) }}
{{- end }}

{{/* The namespaces that are served, as expressions of a namespaceSelector. */}}
{{- define "emissary-webhook.namespaces" -}}
{{- if .Values.namespaces }}
- key: kubernetes.io/metadata.name
  operator: In
  values: {{ toYaml .Values.namespaces | nindent 4 }}
{{- else }}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: {{ append .Values.excludedNamespaces .Release.Namespace | uniq | toYaml | nindent 4 }}
{{- end }}
{{- end }}

{{/* One entry of the registration: name, rule, expressions of its objectSelector, condition (name and expression). */}}
{{- define "emissary-webhook.entry" -}}
- name: {{ .name }}.emissary-webhook.io
  admissionReviewVersions: [v1]
  clientConfig:
    service:
      name: emissary-webhook
      namespace: {{ .root.Release.Namespace }}
      path: /mutate
      port: 443
  failurePolicy: {{ .root.Values.failurePolicy }}
  matchPolicy: Equivalent
  reinvocationPolicy: {{ .root.Values.reinvocationPolicy }}
  sideEffects: None
  timeoutSeconds: {{ .root.Values.timeoutSeconds }}
  rules:
    - {{ toYaml .rule | nindent 6 }}
  namespaceSelector:
    matchExpressions:
      {{- include "emissary-webhook.namespaces" .root | nindent 6 }}
      - key: emissary-webhook.io/mode
        operator: NotIn
        values: ["off"]
  {{- if .labels }}
  objectSelector:
    matchExpressions: {{ toYaml .labels | nindent 6 }}
  {{- else }}
  objectSelector: {}
  {{- end }}
  {{- if not .root.Values.legacy }}
  matchConditions:
    - name: {{ .condition }}
      expression: {{ .expression | quote }}
  {{- end }}
{{- end }}

{{/* Bound to the one ServiceAccount: who is the subject of every binding. */}}
{{- define "emissary-webhook.subjects" -}}
- kind: ServiceAccount
  name: emissary-webhook
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* A Role and its binding in a namespace: root, namespace, name, rules. */}}
{{- define "emissary-webhook.role" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels: {{ include "emissary-webhook.labels" .root | nindent 4 }}
rules: {{ toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels: {{ include "emissary-webhook.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects: {{ include "emissary-webhook.subjects" .root | nindent 2 }}
{{ end }}

{{/* Values that the schema cannot hold against each other. */}}
{{- define "emissary-webhook.checks" -}}
{{- if and .Values.namespaces (eq .Values.certificates.source "self-managed") }}
{{- fail "namespaces: without a ClusterRole the webhook cannot write its own CA bundle; set certificates.source to cert-manager or files" }}
{{- end }}
{{- if and (eq .Values.certificates.source "files") (not .Values.certificates.secretName) }}
{{- fail "certificates.source is files: name the Secret in certificates.secretName" }}
{{- end }}
{{- if and .Values.namespaces (eq .Values.rbac.secrets "all-secrets-in-the-cluster") }}
{{- fail "namespaces: an install for some namespaces cannot read all secrets in the cluster; set rbac.secrets to none or namespaces" }}
{{- end }}
{{- if and .Values.legacy .Values.policy.enabled }}
{{- fail "legacy: a ValidatingAdmissionPolicy needs Kubernetes 1.30; set policy.enabled to false" }}
{{- end }}
{{- if and (eq .Values.rbac.secrets "namespaces") (not .Values.rbac.secretNamespaces) }}
{{- fail "rbac.secrets is namespaces: list them in rbac.secretNamespaces" }}
{{- end }}
{{- end }}

{{/* The program's image. */}}
{{- define "emissary-webhook.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}
