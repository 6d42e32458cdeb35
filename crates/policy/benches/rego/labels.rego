package labels

required = {"team", "workflows.argoproj.io/workflow"}

deny[msg] {
  present := {key | input.metadata.labels[key]}
  missing := required - present
  count(missing) > 0
  msg := sprintf("labels are missing: %v", [concat(", ", missing)])
}
