package hostpath

import rego.v1

deny contains msg if {
	some volume in input.spec.volumes
	path := volume.hostPath.path
	not allowed(path)
	msg := sprintf("volume %q mounts %s of its node", [volume.name, path])
}

allowed(path) if startswith(path, "/var/lib/scratch")
