package root

import rego.v1

deny contains msg if {
	some container in input.spec.containers
	not non_root(container)
	msg := sprintf("container %s may run as root", [container.name])
}

non_root(container) if container.securityContext.runAsNonRoot

non_root(container) if {
	not container.securityContext.runAsNonRoot == false
	input.spec.securityContext.runAsNonRoot
}
