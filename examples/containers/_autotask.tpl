{{/*
A pod template of your chart:

      spec:
        shareProcessNamespace: true
        initContainers: {{- include "autotask.initContainers" . | nindent 10 }}
        containers:
          - name: nightly
            env: {{- include "autotask.env" . | nindent 14 }}
            volumeMounts: {{- include "autotask.volumeMounts" . | nindent 14 }}
        volumes: {{- include "autotask.volumes" . | nindent 10 }}

values.yaml: {autotask: {image: "registry.example.com/autotask:0.1.0"}}
*/}}

{{- define "autotask.initContainers" -}}
- name: autotask-files
  image: {{ .Values.autotask.image }}
  command: [sh, -c, cp -R /opt/autotask/. /files && install -d -m 700 /volume/home]
  resources: &small {requests: {cpu: 10m, memory: 64Mi}, limits: {memory: 128Mi}}
  securityContext: &restricted
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL]}
    readOnlyRootFilesystem: true
  volumeMounts:
    - {name: autotask, mountPath: /files}
    - {name: autotask-home, mountPath: /volume}
- name: autotask
  image: {{ .Values.autotask.image }}
  command: [autotask, ship, --follow]
  restartPolicy: Always  # a sidecar: starts first, stops last, does not keep a Job from ending
  env:
    - {name: AUTOTASK_HOME, value: /var/lib/autotask}
    - {name: DD_AGENT_HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: DD_ENTITY_ID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
  resources: *small
  securityContext: *restricted
  volumeMounts:
    - {name: autotask-home, mountPath: /var/lib/autotask, subPath: home}
{{- end }}

{{- define "autotask.env" -}}
- {name: PYTHONPATH, value: /opt/autotask}
- {name: RUBYLIB, value: /opt/autotask/ruby}
- {name: AUTOTASK_SUPERVISE, value: "1"}
- {name: AUTOTASK_HOME, value: /var/lib/autotask}
- {name: DD_AGENT_HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
- {name: DD_ENTITY_ID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
- {name: DD_ENV, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tags.datadoghq.com/env']"}}}
- {name: DD_SERVICE, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tags.datadoghq.com/service']"}}}
- {name: DD_VERSION, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tags.datadoghq.com/version']"}}}
{{- end }}

{{- define "autotask.volumeMounts" -}}
- {name: autotask, mountPath: /opt/autotask, readOnly: true}
- {name: autotask-home, mountPath: /var/lib/autotask, subPath: home}
{{- end }}

{{- define "autotask.volumes" -}}
- {name: autotask, emptyDir: {}}
- {name: autotask-home, emptyDir: {}}
{{- end }}
