package variables

deny[msg] {
  variable := input.spec.containers[_].env[_]
  regex.match("(?i)(password|token|secret)$", variable.name)
  variable.value
  msg := sprintf("variable %v holds a secret in plain text", [variable.name])
}
