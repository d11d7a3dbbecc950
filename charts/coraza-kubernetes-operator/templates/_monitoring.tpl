{{/* What the objects for Prometheus and Grafana have in common. */}}

{{/* "true" if an object of this kind of monitoring.coreos.com is to be rendered. Of: root, kind, whether it was asked for. */}}
{{- define "coraza.monitoring" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- if index . 2 -}}
  {{- $known := $root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" $kind) -}}
  {{- if or $known (eq $root.Values.metrics.renderMode "alwaysRender") -}}
true
  {{- else if eq $root.Values.metrics.renderMode "failIfMissing" -}}
    {{- fail (printf "\n\nthe cluster has no kind %s of monitoring.coreos.com/v1: install the Prometheus operator's CRDs, or set metrics.renderMode to skipIfMissing\n" $kind) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* Of: root, component or "", labels of the value. */}}
{{- define "coraza.monitoringLabels" -}}
{{ include "coraza.labels" (index . 0) }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end }}
