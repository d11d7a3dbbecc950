{{/*
Values that contradict each other, and values of the Go chart that mean something else here: each gets a sentence that says what to do, all at once.
What a single value may be is said by values.schema.json.
*/}}
{{- define "coraza.validate" -}}
{{- $problems := list -}}

{{- $certificates := .Values.certificates -}}
{{- $secrets := $certificates.existingSecret -}}
{{- if eq $certificates.mode "existingSecret" -}}
  {{- if not (and $secrets.controller $secrets.cache) -}}
    {{- $problems = append $problems "certificates.mode is existingSecret: name both Secrets, in certificates.existingSecret.controller and certificates.existingSecret.cache" -}}
  {{- end -}}
{{- else if or $secrets.controller $secrets.cache -}}
  {{- $problems = append $problems (printf "certificates.existingSecret names a Secret, but certificates.mode is %s: set it to existingSecret, or name none" $certificates.mode) -}}
{{- end -}}
{{- if and $certificates.certManager.issuerRef (ne $certificates.mode "certManager") -}}
  {{- $problems = append $problems (printf "certificates.certManager.issuerRef is set, but certificates.mode is %s: set it to certManager, or leave issuerRef empty" $certificates.mode) -}}
{{- end -}}

{{- if and .Values.metrics.certSecret (not (and .Values.metrics.enabled .Values.metrics.secure)) -}}
  {{- $problems = append $problems "metrics.certSecret is set, but metrics are not served over TLS: set metrics.enabled and metrics.secure, or leave it empty" -}}
{{- end -}}

{{- $tls := .Values.cache.tls -}}
{{- if and (or $tls.existingSecret $tls.credentialName $tls.caCertificates) (not $tls.enabled) -}}
  {{- $problems = append $problems "cache.tls says how, but cache.tls.enabled is false: set it, or leave the rest empty" -}}
{{- end -}}
{{- if and $tls.credentialName $tls.caCertificates -}}
  {{- $problems = append $problems "cache.tls has both credentialName and caCertificates: Istio takes one" -}}
{{- end -}}
{{- if and $tls.existingSecret (not (or $tls.credentialName $tls.caCertificates)) -}}
  {{- $problems = append $problems "cache.tls.existingSecret has a certificate by a CA that the controller doesn't know: say how gateways verify it, in cache.tls.credentialName or cache.tls.caCertificates" -}}
{{- end -}}

{{- if and (not .Values.cache.pluginFile) (has .Values.defaultWasmImage (list "" "embedded")) -}}
  {{- $problems = append $problems "cache.pluginFile is empty, so caches serve no plugin: say in defaultWasmImage where Engines get theirs" -}}
{{- end -}}

{{- $limits := .Values.limits -}}
{{- if and $limits.maxRuleSetBytes $limits.maxNamespaceBytes (gt (int64 $limits.maxRuleSetBytes) (int64 $limits.maxNamespaceBytes)) -}}
  {{- $problems = append $problems "limits.maxRuleSetBytes is more than limits.maxNamespaceBytes: a namespace must have room for one RuleSet" -}}
{{- end -}}
{{- if and $limits.maxNamespaceBytes $limits.maxTotalBytes (gt (int64 $limits.maxNamespaceBytes) (int64 $limits.maxTotalBytes)) -}}
  {{- $problems = append $problems "limits.maxNamespaceBytes is more than limits.maxTotalBytes: there must be room for one namespace" -}}
{{- end -}}

{{- $election := .Values.controller.leaderElection -}}
{{- $lease := $election.leaseDurationSeconds | default 15 | int -}}
{{- $renew := $election.renewDeadlineSeconds | default 10 | int -}}
{{- $retry := $election.retryPeriodSeconds | default 2 | int -}}
{{- if or (le $lease $renew) (lt $renew (mul 2 $retry | int)) -}}
  {{- $problems = append $problems (printf "controller.leaderElection has a lease of %d s, a renew deadline of %d s and a retry period of %d s: the lease must be longer than the deadline, and that at least twice the period, or two could lead, or none" $lease $renew $retry) -}}
{{- end -}}

{{- if le (int .Values.cache.terminationGracePeriodSeconds) (add 10 (int .Values.cache.drainDelaySeconds)) -}}
  {{- $problems = append $problems "cache.terminationGracePeriodSeconds must be more than cache.drainDelaySeconds and 10: answers under way would be cut" -}}
{{- end -}}
{{- with .Values.cache.autoscaling -}}
  {{- if .enabled -}}
    {{- if gt (int .minReplicas) (int .maxReplicas) -}}
      {{- $problems = append $problems "cache.autoscaling.minReplicas is more than cache.autoscaling.maxReplicas" -}}
    {{- end -}}
    {{- if not (or .targetCPUUtilizationPercentage .metrics) -}}
      {{- $problems = append $problems "cache.autoscaling is enabled, but has nothing to scale by: set targetCPUUtilizationPercentage or metrics" -}}
    {{- end -}}
    {{- if and .targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" ($.Values.cache.resources | default dict))) -}}
      {{- $problems = append $problems "cache.autoscaling aims at a share of the requested CPU, but cache.resources.requests.cpu is not set" -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{- range $component := list "controller" "cache" -}}
  {{- $values := index $.Values $component -}}
  {{- if not (or $values.serviceAccount.create $values.serviceAccount.name) -}}
    {{- $problems = append $problems (printf "%[1]s.serviceAccount.create is false: name the one to use in %[1]s.serviceAccount.name, or the namespace's default one would get its rights" $component) -}}
  {{- end -}}
  {{- $budget := $values.podDisruptionBudget -}}
  {{- $minimum := $budget.minAvailable -}}
  {{- if not (or (kindIs "invalid" $minimum) (kindIs "invalid" $budget.maxUnavailable)) -}}
    {{- $problems = append $problems (printf "%s.podDisruptionBudget has both minAvailable and maxUnavailable: Kubernetes takes one" $component) -}}
  {{- end -}}
  {{- $fewest := include "coraza.fewestReplicas" (list $ $component) | int -}}
  {{- if and $budget.enabled (gt $fewest 1) (not (kindIs "invalid" $minimum)) -}}
    {{- if or (eq ($minimum | toString) "100%") (and (not (kindIs "string" $minimum)) (ge (int $minimum) $fewest)) -}}
      {{- $problems = append $problems (printf "%s.podDisruptionBudget.minAvailable leaves none of %d replicas to evict: no node could be drained" $component $fewest) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

{{- $families := .Values.service.ipFamilies -}}
{{- if and (gt (len $families) 1) (not (has .Values.service.ipFamilyPolicy (list "PreferDualStack" "RequireDualStack"))) -}}
  {{- $problems = append $problems "service.ipFamilies has two families: set service.ipFamilyPolicy to PreferDualStack or RequireDualStack" -}}
{{- end -}}

{{- /* Values of the Go chart. */ -}}
{{- range $value, $now := dict
  "replicas" "controller and caches are scaled apart: set controller.replicas and cache.replicas"
  "resources" "set controller.resources and cache.resources"
  "resizePolicy" "set controller.resizePolicy and cache.resizePolicy" -}}
  {{- if hasKey $.Values $value -}}
    {{- $problems = append $problems (printf "%s is a value of the Go operator's chart; here, %s" $value $now) -}}
  {{- end -}}
{{- end -}}
{{- if hasKey .Values.image "repository" -}}
  {{- $problems = append $problems "image.repository is a value of the Go operator's chart; here there are two images: set controller.image.repository and cache.image.repository" -}}
{{- end -}}
{{- with .Values.metrics -}}
  {{- if and .serviceMonitor.enabled (not .enabled) -}}
    {{- $problems = append $problems "metrics.serviceMonitor.enabled is set, but metrics.enabled is not: there would be nothing to scrape" -}}
  {{- end -}}
  {{- if and .podMonitor.enabled (not .podMonitor.gatewaySelector) -}}
    {{- $problems = append $problems "metrics.podMonitor.enabled is set: say which Pods are gateways in metrics.podMonitor.gatewaySelector, or every Pod would be scraped" -}}
  {{- end -}}
{{- end -}}

{{- if $problems -}}
{{- fail (printf "\n\n%s\n" ($problems | join "\n")) -}}
{{- end -}}
{{- end }}
