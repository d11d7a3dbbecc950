{{/* Names, labels and images. */}}

{{- define "coraza.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* As the Go chart has it: the Service of this name is what its WasmPlugins point at. */}}
{{- define "coraza.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if eq .Release.Name (include "coraza.name" .) -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "coraza.name" .) | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* The full name with a suffix, of 63 characters at most. Of: root, suffix. */}}
{{- define "coraza.suffixed" -}}
{{- $root := index . 0 -}}
{{- $suffix := index . 1 -}}
{{ include "coraza.fullname" $root | trunc (int (sub 62 (len $suffix))) | trimSuffix "-" }}-{{ $suffix }}
{{- end }}

{{- define "coraza.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "coraza.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of an object that belongs to no component. */}}
{{- define "coraza.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "coraza.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of a component's object. Of: root, component. */}}
{{- define "coraza.componentLabels" -}}
{{ include "coraza.labels" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Of: root, component. */}}
{{- define "coraza.serviceAccountName" -}}
{{- $account := (index (index . 0).Values (index . 1)).serviceAccount -}}
{{ $account.name | default (include "coraza.suffixed" .) }}
{{- end }}

{{/* Of: root, component. */}}
{{- define "coraza.image" -}}
{{- $root := index . 0 -}}
{{- $image := (index $root.Values (index . 1)).image -}}
{{- with $root.Values.global.imageRegistry | default $root.Values.image.registry }}{{ . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest -}}
@{{ $image.digest }}
{{- else -}}
:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The Secret with a component's certificate. Of: root, component. */}}
{{- define "coraza.certificateSecret" -}}
{{- $root := index . 0 -}}
{{- $certificates := $root.Values.certificates -}}
{{- if eq $certificates.mode "existingSecret" -}}
{{ index $certificates.existingSecret (index . 1) }}
{{- else if eq $certificates.mode "certManager" -}}
{{/* Not the name of the other mode's: Helm would delete after an upgrade what cert-manager has just filled. */}}
{{- include "coraza.suffixed" (list $root (printf "%s-cert-manager" (index . 1))) -}}
{{- else -}}
{{ include "coraza.suffixed" (list $root (printf "%s-tls" (index . 1))) }}
{{- end -}}
{{- end }}

{{/* The Secret with the certificate for metrics, if there is one. */}}
{{- define "coraza.metricsSecret" -}}
{{- with .Values.metrics }}{{ and .enabled .secure | ternary .certSecret "" }}{{ end -}}
{{- end }}

{{/* The Secret with the certificate to serve RuleSets with, if it is another than the one for the controller. */}}
{{- define "coraza.httpSecret" -}}
{{- with .Values.cache.tls }}{{ .enabled | ternary .existingSecret "" }}{{ end -}}
{{- end }}

{{/* The ConfigMap with those whom gateways trust, if the controller keeps one. */}}
{{- define "coraza.cacheAuthorities" -}}
{{- with .Values.cache.tls -}}
{{- if and .enabled (not .credentialName) (not .caCertificates) }}{{ include "coraza.suffixed" (list $ "cache-ca") }}{{ end -}}
{{- end -}}
{{- end }}

{{/* "true" where OpenShift assigns users and groups. */}}
{{- define "coraza.openshift" -}}
{{- $enabled := .Values.openshift.enabled | toString -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
true
{{- end -}}
{{- end }}

{{/* Flags that both programs have. */}}
{{- define "coraza.commonArgs" -}}
- --tls-dir=/etc/coraza/tls
- --health-probe-bind-address=:8081
- --metrics-bind-address={{ ternary ":8443" "0" .Values.metrics.enabled }}
{{- if and .Values.metrics.enabled (not .Values.metrics.secure) }}
- --metrics-secure=false
{{- end }}
{{- if include "coraza.metricsSecret" . }}
- --metrics-cert-path=/etc/metrics-certs
- --metrics-cert-name={{ .Values.metrics.certName }}
- --metrics-cert-key={{ .Values.metrics.keyName }}
{{- end }}
- --log-format={{ ternary "text" "json" (eq .Values.logging.encoder "console") }}
- --log-level={{ .Values.logging.level }}
{{- with .Values.limits.maxRuleSetBytes }}
- --max-ruleset-bytes={{ int64 . }}
{{- end }}
{{- end }}
