{{/* What Services and NetworkPolicies of both components have in common. */}}

{{- define "coraza.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

{{/* Probes come from the node, which a policy can't name. */}}
{{- define "coraza.commonIngress" -}}
- ports:
    - {protocol: TCP, port: probes}
{{- if .Values.metrics.enabled }}
- from: {{- toYaml (.Values.networkPolicy.metricsFrom | default (list (dict "namespaceSelector" dict))) | nindent 4 }}
  ports:
    - {protocol: TCP, port: metrics}
{{- end }}
{{- end }}

{{- define "coraza.commonEgress" -}}
{{- with .Values.networkPolicy -}}
- ports:
    {{- range .dns.ports }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
- ports:
    {{- range .apiServer.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  {{- with .apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
