package main

import rego.v1

# Images go by a tag that does not move.
deny_latest contains msg if {
	some container in containers
	not contains(container.image, "@")
	tag := split(concat("", [container.image, ":latest"]), ":")[1]
	tag == "latest"
	msg := sprintf("container %s: image %s has no tag of its own", [container.name, container.image])
}

containers contains container if some container in input.spec.containers

containers contains container if some container in input.spec.initContainers
