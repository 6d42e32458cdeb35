//! What holds of any pod.

use emissary_policy::psp::{Admission, Authorisation, PodSecurityPolicy, Psp, Release};
use emissary_policy::pss::{self, Level, Standard, Version};
use emissary_policy::{Decision, defaults};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::oracle;
use crate::requests::creation;

/// Names that the engines look for, and one that they do not.
const NAMES: [&str; 34] = [
    "metadata",
    "annotations",
    "spec",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "volumes",
    "securityContext",
    "capabilities",
    "add",
    "drop",
    "name",
    "image",
    "ports",
    "hostPort",
    "containerPort",
    "hostNetwork",
    "runAsUser",
    "runAsNonRoot",
    "seccompProfile",
    "type",
    "localhostProfile",
    "seLinuxOptions",
    "sysctls",
    "hostPath",
    "path",
    "volumeMounts",
    "readOnly",
    "projected",
    "sources",
    "resources",
    "limits",
    "supplementalGroups",
    "somethingElse",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(&["ALL", "Localhost", "1Gi", "9e99", "-0.1n", "/"][..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 96, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(&NAMES[..]), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
            }),
        ]
    })
}

/// A pod that a real engine has judged.
fn recorded() -> impl Strategy<Value = Value> {
    let pods: Vec<Value> = oracle::cases("psp").into_iter().map(|case| case["pod"].clone()).collect();
    prop::sample::select(pods)
}

/// Every rule that fills something in.
fn filling() -> PodSecurityPolicy {
    let ranges = json!({"rule": "MustRunAs", "ranges": [{"min": 1, "max": 4_000_000_000_i64}]});
    let document = json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy",
        "metadata": {"name": "filling", "annotations": {
            "seccomp.security.alpha.kubernetes.io/allowedProfileNames": "*",
            "seccomp.security.alpha.kubernetes.io/defaultProfileName": "runtime/default",
            "apparmor.security.beta.kubernetes.io/defaultProfileName": "runtime/default"}},
        "spec": {"privileged": true, "volumes": ["*"], "hostNetwork": true, "hostPID": true, "hostIPC": true,
            "hostPorts": [{"min": 0, "max": 65535}], "allowedUnsafeSysctls": ["*"], "allowedProcMountTypes": ["Default", "Unmasked"],
            "defaultAddCapabilities": ["CHOWN"], "requiredDropCapabilities": ["KILL"], "readOnlyRootFilesystem": true,
            "allowPrivilegeEscalation": false, "runAsUser": ranges, "runAsGroup": ranges, "fsGroup": ranges,
            "supplementalGroups": ranges, "seLinux": {"rule": "MustRunAs", "seLinuxOptions": {"level": "s0:c1,c0"}},
            "runtimeClass": {"allowedRuntimeClassNames": ["*"], "defaultRuntimeClassName": "kata"}}});
    PodSecurityPolicy::parse(&document).unwrap()
}

fn standards() -> impl Strategy<Value = Standard> {
    let version = prop_oneof![(0_u32..40).prop_map(Version::Minor), Just(Version::Latest)];
    (prop::sample::select(&[Level::Baseline, Level::Restricted][..]), version)
        .prop_map(|(level, version)| Standard { level, version })
}

proptest! {
    #[test]
    fn any_json_is_judged_or_refused(pod in any_json(), spec in any_json(), container in any_json(), standard in standards()) {
        for pod in [pod, json!({"spec": spec}), json!({"spec": {"containers": [container]}})] {
            let defaulted = defaults::pod(&pod);
            prop_assert_eq!(&defaults::pod(&defaulted), &defaulted);
            let psp = Psp::new(vec![filling()], Authorisation::Everything, Release::V1_23);
            for pod in [pod, defaulted] {
                let request = creation(&pod);
                let verdict = psp.judge(&request).unwrap();
                let is_readable = pss::evaluate(standard, &pod).is_ok();
                prop_assert!(is_readable || verdict.decision == Decision::Unknown);
            }
        }
    }

    #[test]
    fn restricted_is_stricter_than_baseline(pod in recorded(), minor in 0_u32..40) {
        let evaluate = |level| pss::evaluate(Standard { level, version: Version::Minor(minor) }, &pod).unwrap();
        prop_assert!(evaluate(Level::Baseline).is_allowed() || !evaluate(Level::Restricted).is_allowed());
        prop_assert!(evaluate(Level::Privileged).is_allowed());
    }

    #[test]
    fn what_nobody_judges_changes_nothing(mut pod in recorded(), standard in standards(), junk in any_json()) {
        let before = pss::evaluate(standard, &pod).unwrap();
        pod["status"] = junk.clone();
        pod["spec"]["somethingElse"] = junk.clone();
        pod["spec"]["containers"][0]["somethingElse"] = junk.clone();
        pod["spec"]["containers"][0]["securityContext"]["somethingElse"] = junk;
        prop_assert_eq!(pss::evaluate(standard, &pod).unwrap(), before);
    }

    #[test]
    fn a_policy_fills_in_once_and_nothing_else(mut pod in recorded(), junk in any_json()) {
        pod["spec"]["somethingElse"] = junk.clone();
        pod["spec"]["containers"][0]["somethingElse"] = junk.clone();
        let psp = Psp::new(vec![filling()], Authorisation::Everything, Release::V1_20);
        if let Admission::Admitted { object, is_mutated, .. } = psp.admit(&creation(&pod)).unwrap() {
            prop_assert!(is_mutated);
            prop_assert_eq!(&object["spec"]["somethingElse"], &junk);
            prop_assert_eq!(&object["spec"]["containers"][0]["somethingElse"], &junk);
            let again = psp.admit(&creation(&object)).unwrap();
            prop_assert_eq!(again, Admission::Admitted { policy: "filling".to_owned(), is_mutated: false, object: object.clone() });
            let validated = psp.validate(&creation(&object)).unwrap();
            let is_admitted = matches!(validated, Admission::Admitted { .. });
            prop_assert!(is_admitted);
        }
    }
}
