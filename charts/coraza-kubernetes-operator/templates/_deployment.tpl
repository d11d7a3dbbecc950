{{/*
The Deployment of a component: what both have in common. Of a dictionary:
  root       the chart's root
  component  controller or cache, which is also the name of its values
  args       the program's flags, YAML
  ports      the container's ports, YAML
*/}}
{{- define "coraza.deployment" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .component -}}
{{- $openshift := include "coraza.openshift" $root -}}
{{- $selector := include "coraza.selectorLabels" (list $root .component) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "coraza.suffixed" (list $root .component) }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "coraza.componentLabels" (list $root .component) | nindent 4 }}
  {{- with $values.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if not (dig "autoscaling" "enabled" false $values) }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels: {{- $selector | nindent 6 }}
  template:
    metadata:
      labels: {{- $selector | nindent 8 }}
        {{- /* A sidecar would stand between mutual TLS and its peer, and must not restart with the mesh. */}}
        sidecar.istio.io/inject: "false"
        istio.io/dataplane-mode: none
        {{- with mergeOverwrite (deepCopy $root.Values.commonLabels) $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ .component }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "coraza.serviceAccountName" (list $root .component) }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with concat $root.Values.global.imagePullSecrets $root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      {{- if not (kindIs "invalid" $values.hostUsers) }}
      hostUsers: {{ $values.hostUsers }}
      {{- end }}
      {{- $security := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
      {{- if not $openshift -}}
      {{- $security = merge $security (dict "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "fsGroupChangePolicy" "OnRootMismatch") -}}
      {{- end }}
      securityContext: {{- toYaml (mergeOverwrite $security $values.podSecurityContext) | nindent 8 }}
      containers:
        - name: {{ .component }}
          image: {{ include "coraza.image" (list $root .component) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: {{- .args | nindent 12 }}
            {{- with $values.extraArgs }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          env:
            - name: POD_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: POD_NAME
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports: {{- .ports | nindent 12 }}
            - {name: probes, containerPort: 8081}
            {{- if $root.Values.metrics.enabled }}
            - {name: metrics, containerPort: 8443}
            {{- end }}
          {{- /* Alive is a process that answers, whatever its peers do: a restart would bring none of them back. */}}
          startupProbe:
            httpGet: {path: /healthz, port: probes}
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /healthz, port: probes}
            periodSeconds: 10
            timeoutSeconds: 5
          readinessProbe:
            httpGet: {path: /readyz, port: probes}
            periodSeconds: 2
            timeoutSeconds: 2
          resources: {{- toYaml $values.resources | nindent 12 }}
          {{- with $values.resizePolicy }}
          resizePolicy: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- $container := dict "allowPrivilegeEscalation" false "privileged" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) }}
          securityContext: {{- toYaml (mergeOverwrite $container $values.securityContext) | nindent 12 }}
          volumeMounts:
            - {name: tls, mountPath: /etc/coraza/tls, readOnly: true}
            {{- if include "coraza.metricsSecret" $root }}
            - {name: metrics-certs, mountPath: /etc/metrics-certs, readOnly: true}
            {{- end }}
            {{- if and (eq .component "cache") (include "coraza.httpSecret" $root) }}
            - {name: http-tls, mountPath: /etc/coraza/http-tls, readOnly: true}
            {{- end }}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tls
          secret:
            secretName: {{ include "coraza.certificateSecret" (list $root .component) }}
            {{- /* 0440: the group is the Pod's fsGroup. */}}
            defaultMode: 288
        {{- with include "coraza.metricsSecret" $root }}
        - name: metrics-certs
          secret: {secretName: {{ . }}, defaultMode: 288}
        {{- end }}
        {{- if eq .component "cache" }}
        {{- with include "coraza.httpSecret" $root }}
        - name: http-tls
          secret: {secretName: {{ . }}, defaultMode: 288}
        {{- end }}
        {{- end }}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $values.nodeSelector | default $root.Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations | default $root.Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity | default $root.Values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.topologySpreadConstraints | default $root.Values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- $own := dict "labelSelector" (dict "matchLabels" ($selector | fromYaml)) }}
        {{- range . }}
        - {{- toYaml (hasKey . "labelSelector" | ternary . (merge (deepCopy .) $own)) | nindent 10 }}
        {{- end }}
      {{- end }}
{{- end }}

{{/* Of: root, component. */}}
{{- define "coraza.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $account := (index $root.Values (index . 1)).serviceAccount -}}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "coraza.serviceAccountName" . }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "coraza.componentLabels" . | nindent 4 }}
  {{- with $account.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end }}

{{/* Of: root, component. */}}
{{- define "coraza.podDisruptionBudget" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
{{- $budget := $values.podDisruptionBudget -}}
{{- if and $budget.enabled (gt (include "coraza.fewestReplicas" . | int) 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "coraza.suffixed" . }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "coraza.componentLabels" . | nindent 4 }}
spec:
  {{- if kindIs "invalid" $budget.minAvailable }}
  maxUnavailable: {{ kindIs "invalid" $budget.maxUnavailable | ternary 1 $budget.maxUnavailable }}
  {{- else }}
  minAvailable: {{ $budget.minAvailable }}
  {{- end }}
  {{- /* A Pod that is not ready serves nobody, and must not keep a node from being drained. */}}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "coraza.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end }}

{{/* Of: root, component. */}}
{{- define "coraza.fewestReplicas" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- if dig "autoscaling" "enabled" false $values -}}
{{ $values.autoscaling.minReplicas }}
{{- else -}}
{{ $values.replicas }}
{{- end -}}
{{- end }}
