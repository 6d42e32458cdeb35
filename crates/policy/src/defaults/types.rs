//! The types of which a pod is made, field by field, as the API of Kubernetes 1.36 has them (`core/v1`) and as Go writes them.
//!
//! It is one file because it is one table. A kind in brackets is a list, one with a question mark may be absent; in lower case are
//! values, of which an exclamation mark says that the field is always written. Fields that are not here are dropped by the API server.

/// The fields of an object.
pub(super) struct Type(pub(super) &'static [Field]);

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What a field holds. A field that is required is written even where it is zero.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text {
        is_required: bool,
    },
    Number {
        is_required: bool,
    },
    Flag {
        is_required: bool,
    },
    /// Written whatever it is, unless it is absent.
    Any,
    /// Written as null where it is absent.
    Nullable,
    /// A number or a name, zero where it is absent.
    Port,
    Quantity {
        is_required: bool,
    },
    /// Quantities by name of a resource.
    Quantities,
    /// Texts by key.
    Map,
    /// An object that may be absent, and may be empty.
    Pointer(&'static Type),
    /// An object that is always there.
    Struct(&'static Type),
    Items {
        of: Option<&'static Type>,
        is_required: bool,
    },
}

macro_rules! kind {
    ((text)) => {
        Kind::Text { is_required: false }
    };
    ((text!)) => {
        Kind::Text { is_required: true }
    };
    ((number)) => {
        Kind::Number { is_required: false }
    };
    ((number!)) => {
        Kind::Number { is_required: true }
    };
    ((flag)) => {
        Kind::Flag { is_required: false }
    };
    ((flag!)) => {
        Kind::Flag { is_required: true }
    };
    ((any)) => {
        Kind::Any
    };
    ((any!)) => {
        Kind::Nullable
    };
    ((port!)) => {
        Kind::Port
    };
    ((quantity)) => {
        Kind::Quantity { is_required: false }
    };
    ((quantity!)) => {
        Kind::Quantity { is_required: true }
    };
    ((quantities)) => {
        Kind::Quantities
    };
    ((map)) => {
        Kind::Map
    };
    (([any])) => {
        Kind::Items { of: None, is_required: false }
    };
    (([any]!)) => {
        Kind::Items { of: None, is_required: true }
    };
    (([$type:ident])) => {
        Kind::Items { of: Some(&$type), is_required: false }
    };
    (([$type:ident]!)) => {
        Kind::Items { of: Some(&$type), is_required: true }
    };
    (($type:ident?)) => {
        Kind::Pointer(&$type)
    };
    (($type:ident)) => {
        Kind::Struct(&$type)
    };
}

macro_rules! types {
    ($( $type:ident { $( $name:ident $kind:tt )* } )*) => {
        $(
            pub(super) static $type: Type = Type(&[
                $( Field { name: stringify!($name), kind: kind!($kind) } ),*
            ]);
        )*
    };
}

types! {
    POD {
        kind(text) apiVersion(text) metadata(OBJECT_META) spec(POD_SPEC) status(POD_STATUS)
    }
    OBJECT_META {
        name(text) generateName(text) namespace(text) selfLink(text) uid(text) resourceVersion(text)
        generation(number) creationTimestamp(any) deletionTimestamp(any) deletionGracePeriodSeconds(any) labels(map)
        annotations(map) ownerReferences([OWNER_REFERENCE]) finalizers([any]) managedFields([MANAGED_FIELDS_ENTRY])
    }
    OWNER_REFERENCE {
        apiVersion(text!) kind(text!) name(text!) uid(text!) controller(any) blockOwnerDeletion(any)
    }
    MANAGED_FIELDS_ENTRY {
        manager(text) operation(text) apiVersion(text) time(any) fieldsType(text) fieldsV1(any) subresource(text)
    }
    POD_SPEC {
        volumes([VOLUME]) initContainers([CONTAINER]) containers([CONTAINER]!)
        ephemeralContainers([EPHEMERAL_CONTAINER]) restartPolicy(text) terminationGracePeriodSeconds(any)
        activeDeadlineSeconds(any) dnsPolicy(text) nodeSelector(map) serviceAccountName(text) serviceAccount(text)
        automountServiceAccountToken(any) nodeName(text) hostNetwork(flag) hostPID(flag) hostIPC(flag)
        shareProcessNamespace(any) securityContext(POD_SECURITY_CONTEXT?) imagePullSecrets([LOCAL_OBJECT_REFERENCE])
        hostname(text) subdomain(text) affinity(AFFINITY?) schedulerName(text) tolerations([TOLERATION])
        hostAliases([HOST_ALIAS]) priorityClassName(text) priority(any) dnsConfig(POD_DNS_CONFIG?)
        readinessGates([POD_READINESS_GATE]) runtimeClassName(any) enableServiceLinks(any) preemptionPolicy(any)
        overhead(quantities) topologySpreadConstraints([TOPOLOGY_SPREAD_CONSTRAINT]) setHostnameAsFQDN(any)
        os(POD_OS?) hostUsers(any) schedulingGates([POD_SCHEDULING_GATE]) resourceClaims([POD_RESOURCE_CLAIM])
        resources(RESOURCE_REQUIREMENTS?) hostnameOverride(any) schedulingGroup(POD_SCHEDULING_GROUP?)
    }
    VOLUME {
        name(text!) hostPath(HOST_PATH_VOLUME_SOURCE?) emptyDir(EMPTY_DIR_VOLUME_SOURCE?)
        gcePersistentDisk(GCE_PERSISTENT_DISK_VOLUME_SOURCE?)
        awsElasticBlockStore(AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE?) gitRepo(GIT_REPO_VOLUME_SOURCE?)
        secret(SECRET_VOLUME_SOURCE?) nfs(NFS_VOLUME_SOURCE?) iscsi(ISCSI_VOLUME_SOURCE?)
        glusterfs(GLUSTERFS_VOLUME_SOURCE?) persistentVolumeClaim(PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE?)
        rbd(RBD_VOLUME_SOURCE?) flexVolume(FLEX_VOLUME_SOURCE?) cinder(CINDER_VOLUME_SOURCE?)
        cephfs(CEPH_FS_VOLUME_SOURCE?) flocker(FLOCKER_VOLUME_SOURCE?) downwardAPI(DOWNWARD_API_VOLUME_SOURCE?)
        fc(FC_VOLUME_SOURCE?) azureFile(AZURE_FILE_VOLUME_SOURCE?) configMap(CONFIG_MAP_VOLUME_SOURCE?)
        vsphereVolume(VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE?) quobyte(QUOBYTE_VOLUME_SOURCE?)
        azureDisk(AZURE_DISK_VOLUME_SOURCE?) photonPersistentDisk(PHOTON_PERSISTENT_DISK_VOLUME_SOURCE?)
        projected(PROJECTED_VOLUME_SOURCE?) portworxVolume(PORTWORX_VOLUME_SOURCE?) scaleIO(SCALE_IO_VOLUME_SOURCE?)
        storageos(STORAGE_OS_VOLUME_SOURCE?) csi(CSI_VOLUME_SOURCE?) ephemeral(EPHEMERAL_VOLUME_SOURCE?)
        image(IMAGE_VOLUME_SOURCE?)
    }
    HOST_PATH_VOLUME_SOURCE {
        path(text!) type(any)
    }
    EMPTY_DIR_VOLUME_SOURCE {
        medium(text) sizeLimit(quantity)
    }
    GCE_PERSISTENT_DISK_VOLUME_SOURCE {
        pdName(text!) fsType(text) partition(number) readOnly(flag)
    }
    AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE {
        volumeID(text!) fsType(text) partition(number) readOnly(flag)
    }
    GIT_REPO_VOLUME_SOURCE {
        repository(text!) revision(text) directory(text)
    }
    SECRET_VOLUME_SOURCE {
        secretName(text) items([KEY_TO_PATH]) defaultMode(any) optional(any)
    }
    KEY_TO_PATH {
        key(text!) path(text!) mode(any)
    }
    NFS_VOLUME_SOURCE {
        server(text!) path(text!) readOnly(flag)
    }
    ISCSI_VOLUME_SOURCE {
        targetPortal(text!) iqn(text!) lun(number!) iscsiInterface(text) fsType(text) readOnly(flag) portals([any])
        chapAuthDiscovery(flag) chapAuthSession(flag) secretRef(LOCAL_OBJECT_REFERENCE?) initiatorName(any)
    }
    LOCAL_OBJECT_REFERENCE {
        name(text)
    }
    GLUSTERFS_VOLUME_SOURCE {
        endpoints(text!) path(text!) readOnly(flag)
    }
    PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE {
        claimName(text!) readOnly(flag)
    }
    RBD_VOLUME_SOURCE {
        monitors([any]!) image(text!) fsType(text) pool(text) user(text) keyring(text)
        secretRef(LOCAL_OBJECT_REFERENCE?) readOnly(flag)
    }
    FLEX_VOLUME_SOURCE {
        driver(text!) fsType(text) secretRef(LOCAL_OBJECT_REFERENCE?) readOnly(flag) options(map)
    }
    CINDER_VOLUME_SOURCE {
        volumeID(text!) fsType(text) readOnly(flag) secretRef(LOCAL_OBJECT_REFERENCE?)
    }
    CEPH_FS_VOLUME_SOURCE {
        monitors([any]!) path(text) user(text) secretFile(text) secretRef(LOCAL_OBJECT_REFERENCE?) readOnly(flag)
    }
    FLOCKER_VOLUME_SOURCE {
        datasetName(text) datasetUUID(text)
    }
    DOWNWARD_API_VOLUME_SOURCE {
        items([DOWNWARD_API_VOLUME_FILE]) defaultMode(any)
    }
    DOWNWARD_API_VOLUME_FILE {
        path(text!) fieldRef(OBJECT_FIELD_SELECTOR?) resourceFieldRef(RESOURCE_FIELD_SELECTOR?) mode(any)
    }
    OBJECT_FIELD_SELECTOR {
        apiVersion(text) fieldPath(text!)
    }
    RESOURCE_FIELD_SELECTOR {
        containerName(text) resource(text!) divisor(quantity!)
    }
    FC_VOLUME_SOURCE {
        targetWWNs([any]) lun(any) fsType(text) readOnly(flag) wwids([any])
    }
    AZURE_FILE_VOLUME_SOURCE {
        secretName(text!) shareName(text!) readOnly(flag)
    }
    CONFIG_MAP_VOLUME_SOURCE {
        name(text) items([KEY_TO_PATH]) defaultMode(any) optional(any)
    }
    VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE {
        volumePath(text!) fsType(text) storagePolicyName(text) storagePolicyID(text)
    }
    QUOBYTE_VOLUME_SOURCE {
        registry(text!) volume(text!) readOnly(flag) user(text) group(text) tenant(text)
    }
    AZURE_DISK_VOLUME_SOURCE {
        diskName(text!) diskURI(text!) cachingMode(any) fsType(any) readOnly(any) kind(any)
    }
    PHOTON_PERSISTENT_DISK_VOLUME_SOURCE {
        pdID(text!) fsType(text)
    }
    PROJECTED_VOLUME_SOURCE {
        sources([VOLUME_PROJECTION]!) defaultMode(any)
    }
    VOLUME_PROJECTION {
        secret(SECRET_PROJECTION?) downwardAPI(DOWNWARD_API_PROJECTION?) configMap(CONFIG_MAP_PROJECTION?)
        serviceAccountToken(SERVICE_ACCOUNT_TOKEN_PROJECTION?) clusterTrustBundle(CLUSTER_TRUST_BUNDLE_PROJECTION?)
        podCertificate(POD_CERTIFICATE_PROJECTION?)
    }
    SECRET_PROJECTION {
        name(text) items([KEY_TO_PATH]) optional(any)
    }
    DOWNWARD_API_PROJECTION {
        items([DOWNWARD_API_VOLUME_FILE])
    }
    CONFIG_MAP_PROJECTION {
        name(text) items([KEY_TO_PATH]) optional(any)
    }
    SERVICE_ACCOUNT_TOKEN_PROJECTION {
        audience(text) expirationSeconds(any) path(text!)
    }
    CLUSTER_TRUST_BUNDLE_PROJECTION {
        name(any) signerName(any) labelSelector(LABEL_SELECTOR?) optional(any) path(text!)
    }
    LABEL_SELECTOR {
        matchLabels(map) matchExpressions([LABEL_SELECTOR_REQUIREMENT])
    }
    LABEL_SELECTOR_REQUIREMENT {
        key(text!) operator(text!) values([any])
    }
    POD_CERTIFICATE_PROJECTION {
        signerName(text) keyType(text) maxExpirationSeconds(any) credentialBundlePath(text) keyPath(text)
        certificateChainPath(text) userAnnotations(map)
    }
    PORTWORX_VOLUME_SOURCE {
        volumeID(text!) fsType(text) readOnly(flag)
    }
    SCALE_IO_VOLUME_SOURCE {
        gateway(text!) system(text!) secretRef(LOCAL_OBJECT_REFERENCE?) sslEnabled(flag) protectionDomain(text)
        storagePool(text) storageMode(text) volumeName(text) fsType(text) readOnly(flag)
    }
    STORAGE_OS_VOLUME_SOURCE {
        volumeName(text) volumeNamespace(text) fsType(text) readOnly(flag) secretRef(LOCAL_OBJECT_REFERENCE?)
    }
    CSI_VOLUME_SOURCE {
        driver(text!) readOnly(any) fsType(any) volumeAttributes(map) nodePublishSecretRef(LOCAL_OBJECT_REFERENCE?)
    }
    EPHEMERAL_VOLUME_SOURCE {
        volumeClaimTemplate(PERSISTENT_VOLUME_CLAIM_TEMPLATE?)
    }
    PERSISTENT_VOLUME_CLAIM_TEMPLATE {
        metadata(OBJECT_META) spec(PERSISTENT_VOLUME_CLAIM_SPEC)
    }
    PERSISTENT_VOLUME_CLAIM_SPEC {
        accessModes([any]) selector(LABEL_SELECTOR?) resources(VOLUME_RESOURCE_REQUIREMENTS) volumeName(text)
        storageClassName(any) volumeMode(any) dataSource(TYPED_LOCAL_OBJECT_REFERENCE?)
        dataSourceRef(TYPED_OBJECT_REFERENCE?) volumeAttributesClassName(any)
    }
    VOLUME_RESOURCE_REQUIREMENTS {
        limits(quantities) requests(quantities)
    }
    TYPED_LOCAL_OBJECT_REFERENCE {
        apiGroup(any) kind(text!) name(text!)
    }
    TYPED_OBJECT_REFERENCE {
        apiGroup(any) kind(text!) name(text!) namespace(any)
    }
    IMAGE_VOLUME_SOURCE {
        reference(text) pullPolicy(text)
    }
    CONTAINER {
        name(text!) image(text) command([any]) args([any]) workingDir(text) ports([CONTAINER_PORT])
        envFrom([ENV_FROM_SOURCE]) env([ENV_VAR]) resources(RESOURCE_REQUIREMENTS)
        resizePolicy([CONTAINER_RESIZE_POLICY]) restartPolicy(any) restartPolicyRules([CONTAINER_RESTART_RULE])
        volumeMounts([VOLUME_MOUNT]) volumeDevices([VOLUME_DEVICE]) livenessProbe(PROBE?) readinessProbe(PROBE?)
        startupProbe(PROBE?) lifecycle(LIFECYCLE?) terminationMessagePath(text) terminationMessagePolicy(text)
        imagePullPolicy(text) securityContext(SECURITY_CONTEXT?) stdin(flag) stdinOnce(flag) tty(flag)
    }
    CONTAINER_PORT {
        name(text) hostPort(number) containerPort(number!) protocol(text) hostIP(text)
    }
    ENV_FROM_SOURCE {
        prefix(text) configMapRef(CONFIG_MAP_ENV_SOURCE?) secretRef(SECRET_ENV_SOURCE?)
    }
    CONFIG_MAP_ENV_SOURCE {
        name(text) optional(any)
    }
    SECRET_ENV_SOURCE {
        name(text) optional(any)
    }
    ENV_VAR {
        name(text!) value(text) valueFrom(ENV_VAR_SOURCE?)
    }
    ENV_VAR_SOURCE {
        fieldRef(OBJECT_FIELD_SELECTOR?) resourceFieldRef(RESOURCE_FIELD_SELECTOR?)
        configMapKeyRef(CONFIG_MAP_KEY_SELECTOR?) secretKeyRef(SECRET_KEY_SELECTOR?) fileKeyRef(FILE_KEY_SELECTOR?)
    }
    CONFIG_MAP_KEY_SELECTOR {
        name(text) key(text!) optional(any)
    }
    SECRET_KEY_SELECTOR {
        name(text) key(text!) optional(any)
    }
    FILE_KEY_SELECTOR {
        volumeName(text!) path(text!) key(text!) optional(any)
    }
    RESOURCE_REQUIREMENTS {
        limits(quantities) requests(quantities) claims([RESOURCE_CLAIM])
    }
    RESOURCE_CLAIM {
        name(text!) request(text)
    }
    CONTAINER_RESIZE_POLICY {
        resourceName(text!) restartPolicy(text!)
    }
    CONTAINER_RESTART_RULE {
        action(text) exitCodes(CONTAINER_RESTART_RULE_ON_EXIT_CODES?)
    }
    CONTAINER_RESTART_RULE_ON_EXIT_CODES {
        operator(text) values([any])
    }
    VOLUME_MOUNT {
        name(text!) readOnly(flag) recursiveReadOnly(any) mountPath(text!) subPath(text) mountPropagation(any)
        subPathExpr(text)
    }
    VOLUME_DEVICE {
        name(text!) devicePath(text!)
    }
    PROBE {
        exec(EXEC_ACTION?) httpGet(HTTP_GET_ACTION?) tcpSocket(TCP_SOCKET_ACTION?) grpc(GRPC_ACTION?)
        initialDelaySeconds(number) timeoutSeconds(number) periodSeconds(number) successThreshold(number)
        failureThreshold(number) terminationGracePeriodSeconds(any)
    }
    EXEC_ACTION {
        command([any])
    }
    HTTP_GET_ACTION {
        path(text) port(port!) host(text) scheme(text) httpHeaders([HTTP_HEADER])
    }
    HTTP_HEADER {
        name(text!) value(text!)
    }
    TCP_SOCKET_ACTION {
        port(port!) host(text)
    }
    GRPC_ACTION {
        port(number!) service(any)
    }
    LIFECYCLE {
        postStart(LIFECYCLE_HANDLER?) preStop(LIFECYCLE_HANDLER?) stopSignal(any)
    }
    LIFECYCLE_HANDLER {
        exec(EXEC_ACTION?) httpGet(HTTP_GET_ACTION?) tcpSocket(TCP_SOCKET_ACTION?) sleep(SLEEP_ACTION?)
    }
    SLEEP_ACTION {
        seconds(number!)
    }
    SECURITY_CONTEXT {
        capabilities(CAPABILITIES?) privileged(any) seLinuxOptions(SE_LINUX_OPTIONS?)
        windowsOptions(WINDOWS_SECURITY_CONTEXT_OPTIONS?) runAsUser(any) runAsGroup(any) runAsNonRoot(any)
        readOnlyRootFilesystem(any) allowPrivilegeEscalation(any) procMount(any) seccompProfile(SECCOMP_PROFILE?)
        appArmorProfile(APP_ARMOR_PROFILE?)
    }
    CAPABILITIES {
        add([any]) drop([any])
    }
    SE_LINUX_OPTIONS {
        user(text) role(text) type(text) level(text)
    }
    WINDOWS_SECURITY_CONTEXT_OPTIONS {
        gmsaCredentialSpecName(any) gmsaCredentialSpec(any) runAsUserName(any) hostProcess(any)
    }
    SECCOMP_PROFILE {
        type(text!) localhostProfile(any)
    }
    APP_ARMOR_PROFILE {
        type(text!) localhostProfile(any)
    }
    EPHEMERAL_CONTAINER {
        name(text!) image(text) command([any]) args([any]) workingDir(text) ports([CONTAINER_PORT])
        envFrom([ENV_FROM_SOURCE]) env([ENV_VAR]) resources(RESOURCE_REQUIREMENTS)
        resizePolicy([CONTAINER_RESIZE_POLICY]) restartPolicy(any) restartPolicyRules([CONTAINER_RESTART_RULE])
        volumeMounts([VOLUME_MOUNT]) volumeDevices([VOLUME_DEVICE]) livenessProbe(PROBE?) readinessProbe(PROBE?)
        startupProbe(PROBE?) lifecycle(LIFECYCLE?) terminationMessagePath(text) terminationMessagePolicy(text)
        imagePullPolicy(text) securityContext(SECURITY_CONTEXT?) stdin(flag) stdinOnce(flag) tty(flag)
        targetContainerName(text)
    }
    POD_SECURITY_CONTEXT {
        seLinuxOptions(SE_LINUX_OPTIONS?) windowsOptions(WINDOWS_SECURITY_CONTEXT_OPTIONS?) runAsUser(any)
        runAsGroup(any) runAsNonRoot(any) supplementalGroups([any]) supplementalGroupsPolicy(any) fsGroup(any)
        sysctls([SYSCTL]) fsGroupChangePolicy(any) seccompProfile(SECCOMP_PROFILE?)
        appArmorProfile(APP_ARMOR_PROFILE?) seLinuxChangePolicy(any)
    }
    SYSCTL {
        name(text!) value(text!)
    }
    AFFINITY {
        nodeAffinity(NODE_AFFINITY?) podAffinity(POD_AFFINITY?) podAntiAffinity(POD_ANTI_AFFINITY?)
    }
    NODE_AFFINITY {
        requiredDuringSchedulingIgnoredDuringExecution(NODE_SELECTOR?)
        preferredDuringSchedulingIgnoredDuringExecution([PREFERRED_SCHEDULING_TERM])
    }
    NODE_SELECTOR {
        nodeSelectorTerms([NODE_SELECTOR_TERM]!)
    }
    NODE_SELECTOR_TERM {
        matchExpressions([NODE_SELECTOR_REQUIREMENT]) matchFields([NODE_SELECTOR_REQUIREMENT])
    }
    NODE_SELECTOR_REQUIREMENT {
        key(text!) operator(text!) values([any])
    }
    PREFERRED_SCHEDULING_TERM {
        weight(number!) preference(NODE_SELECTOR_TERM)
    }
    POD_AFFINITY {
        requiredDuringSchedulingIgnoredDuringExecution([POD_AFFINITY_TERM])
        preferredDuringSchedulingIgnoredDuringExecution([WEIGHTED_POD_AFFINITY_TERM])
    }
    POD_AFFINITY_TERM {
        labelSelector(LABEL_SELECTOR?) namespaces([any]) topologyKey(text!) namespaceSelector(LABEL_SELECTOR?)
        matchLabelKeys([any]) mismatchLabelKeys([any])
    }
    WEIGHTED_POD_AFFINITY_TERM {
        weight(number!) podAffinityTerm(POD_AFFINITY_TERM)
    }
    POD_ANTI_AFFINITY {
        requiredDuringSchedulingIgnoredDuringExecution([POD_AFFINITY_TERM])
        preferredDuringSchedulingIgnoredDuringExecution([WEIGHTED_POD_AFFINITY_TERM])
    }
    TOLERATION {
        key(text) operator(text) value(text) effect(text) tolerationSeconds(any)
    }
    HOST_ALIAS {
        ip(text!) hostnames([any])
    }
    POD_DNS_CONFIG {
        nameservers([any]) searches([any]) options([POD_DNS_CONFIG_OPTION])
    }
    POD_DNS_CONFIG_OPTION {
        name(text) value(any)
    }
    POD_READINESS_GATE {
        conditionType(text!)
    }
    TOPOLOGY_SPREAD_CONSTRAINT {
        maxSkew(number!) topologyKey(text!) whenUnsatisfiable(text!) labelSelector(LABEL_SELECTOR?) minDomains(any)
        nodeAffinityPolicy(any) nodeTaintsPolicy(any) matchLabelKeys([any])
    }
    POD_OS {
        name(text!)
    }
    POD_SCHEDULING_GATE {
        name(text!)
    }
    POD_RESOURCE_CLAIM {
        name(text!) resourceClaimName(any) resourceClaimTemplateName(any)
    }
    POD_SCHEDULING_GROUP {
        podGroupName(any)
    }
    POD_STATUS {
        observedGeneration(number) phase(text) conditions([POD_CONDITION]) message(text) reason(text)
        nominatedNodeName(text) hostIP(text) hostIPs([HOST_IP]) podIP(text) podIPs([POD_IP]) startTime(any)
        initContainerStatuses([CONTAINER_STATUS]) containerStatuses([CONTAINER_STATUS]) qosClass(text)
        ephemeralContainerStatuses([CONTAINER_STATUS]) resize(text) resourceClaimStatuses([POD_RESOURCE_CLAIM_STATUS])
        extendedResourceClaimStatus(POD_EXTENDED_RESOURCE_CLAIM_STATUS?) allocatedResources(quantities)
        resources(RESOURCE_REQUIREMENTS?)
        nodeAllocatableResourceClaimStatuses([NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS])
    }
    POD_CONDITION {
        type(text!) observedGeneration(number) status(text!) lastProbeTime(any!)
        lastTransitionTime(any!) reason(text) message(text)
    }
    HOST_IP {
        ip(text!)
    }
    POD_IP {
        ip(text!)
    }
    CONTAINER_STATUS {
        name(text!) state(CONTAINER_STATE) lastState(CONTAINER_STATE) ready(flag!) restartCount(number!) image(text!)
        imageID(text!) containerID(text) started(any) allocatedResources(quantities) resources(RESOURCE_REQUIREMENTS?)
        volumeMounts([VOLUME_MOUNT_STATUS]) user(CONTAINER_USER?) allocatedResourcesStatus([RESOURCE_STATUS])
        stopSignal(any)
    }
    CONTAINER_STATE {
        waiting(CONTAINER_STATE_WAITING?) running(CONTAINER_STATE_RUNNING?) terminated(CONTAINER_STATE_TERMINATED?)
    }
    CONTAINER_STATE_WAITING {
        reason(text) message(text)
    }
    CONTAINER_STATE_RUNNING {
        startedAt(any!)
    }
    CONTAINER_STATE_TERMINATED {
        exitCode(number!) signal(number) reason(text) message(text) startedAt(any!)
        finishedAt(any!) containerID(text)
    }
    VOLUME_MOUNT_STATUS {
        name(text!) mountPath(text!) readOnly(flag) recursiveReadOnly(any) volumeStatus(VOLUME_STATUS?)
    }
    VOLUME_STATUS {
        image(IMAGE_VOLUME_STATUS?)
    }
    IMAGE_VOLUME_STATUS {
        imageRef(text)
    }
    CONTAINER_USER {
        linux(LINUX_CONTAINER_USER?)
    }
    LINUX_CONTAINER_USER {
        uid(number!) gid(number!) supplementalGroups([any])
    }
    RESOURCE_STATUS {
        name(text!) resources([RESOURCE_HEALTH])
    }
    RESOURCE_HEALTH {
        resourceID(text!) health(text) message(any)
    }
    POD_RESOURCE_CLAIM_STATUS {
        name(text!) resourceClaimName(any)
    }
    POD_EXTENDED_RESOURCE_CLAIM_STATUS {
        requestMappings([CONTAINER_EXTENDED_RESOURCE_REQUEST]!) resourceClaimName(text!)
    }
    CONTAINER_EXTENDED_RESOURCE_REQUEST {
        containerName(text!) resourceName(text!) requestName(text!)
    }
    NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS {
        resourceClaimName(text!) containers([any]) resources(quantities)
    }
}
