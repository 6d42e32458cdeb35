use crate::pod::Volume;

/// A source of volumes as policies name it, and as pods do.
pub(super) struct Source {
    pub(super) kind: &'static str,
    pub(super) field: &'static str,
}

const fn same(field: &'static str) -> Source {
    Source { kind: field, field }
}

/// All sources that policies know, in the order in which the plugin looks for one.
pub(super) const SOURCES: [Source; 29] = [
    same("hostPath"),
    same("emptyDir"),
    same("gcePersistentDisk"),
    same("awsElasticBlockStore"),
    same("gitRepo"),
    same("secret"),
    same("nfs"),
    same("iscsi"),
    same("glusterfs"),
    same("persistentVolumeClaim"),
    same("rbd"),
    same("flexVolume"),
    same("cinder"),
    Source { kind: "cephFS", field: "cephfs" },
    same("flocker"),
    same("downwardAPI"),
    same("fc"),
    same("azureFile"),
    same("configMap"),
    same("vsphereVolume"),
    same("quobyte"),
    same("azureDisk"),
    same("photonPersistentDisk"),
    same("storageos"),
    same("projected"),
    same("portworxVolume"),
    same("scaleIO"),
    same("csi"),
    same("ephemeral"),
];

/// What kind of volume it is. A source that these versions do not know is dropped by the API server, which makes an empty directory of
/// the volume.
pub(super) fn kind(volume: &Volume<'_>) -> &'static str {
    let source = SOURCES.iter().find(|source| volume.source(source.field).is_some());
    source.map_or("emptyDir", |source| source.kind)
}
