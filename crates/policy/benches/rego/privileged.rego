package privileged

deny[msg] {
  container := input.spec.containers[_]
  container.securityContext.privileged
  msg := sprintf("container %s is privileged", [container.name])
}

deny[msg] {
  input.spec[field]
  field == {"hostNetwork", "hostPID", "hostIPC"}[_]
  msg := sprintf("the pod shares %s with its node", [field])
}
