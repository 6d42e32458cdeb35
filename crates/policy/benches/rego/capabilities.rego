package capabilities

deny[msg] {
  container := input.spec.containers[_]
  added := {name | name := container.securityContext.capabilities.add[_]}
  wrong := added - {"NET_BIND_SERVICE"}
  count(wrong) > 0
  msg := sprintf("container %v adds %v", [container.name, wrong])
}

deny[msg] {
  container := input.spec.containers[_]
  not drops_all(container)
  msg := sprintf("container %v keeps capabilities", [container.name])
}

drops_all(container) { container.securityContext.capabilities.drop[_] == "ALL" }
