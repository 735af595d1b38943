//! The matrix as an indexed Job of Kubernetes: a shard for each index, results on a volume.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, PersistentVolumeClaimVolumeSource,
    PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::snapshot::to_yaml;

const NAME: &str = "meshproof";
const RESULTS: &str = "results";
const SCRATCH: &str = "scratch";
/// As many scenarios run at a time as there are processors; without a limit that would be those of the node.
const PROCESSORS: &str = "2";
/// The catalogue takes 568 MiB at its peak with two scenarios at a time, shared pages counted for each proxy.
const MEMORY: &str = "1Gi";

/// The user of the image, as in `Containerfile`. A new volume is root's: its group is made this one's.
const GROUP: i64 = 65532;

/// What a Job is made of.
#[derive(Clone, Debug)]
pub struct IndexedJob {
    /// The image, with meshproof as its entry point.
    pub image: String,
    /// How many shards, and so how many pods.
    pub shards: usize,
    /// The claim of the volume that results are written to, a folder for each index. Many pods write to it at once.
    pub claim: String,
}

/// The manifest could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the manifest: {0}")]
pub struct ManifestError(String);

impl IndexedJob {
    /// The manifest.
    ///
    /// # Errors
    /// Never with what it is made of.
    pub fn manifest(&self) -> Result<String, ManifestError> {
        to_yaml(&self.job()).map_err(ManifestError)
    }

    fn job(&self) -> Job {
        let shards = i32::try_from(self.shards).unwrap_or(i32::MAX);
        Job {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                labels: Some(labels()),
                ..ObjectMeta::default()
            },
            spec: Some(JobSpec {
                completion_mode: Some("Indexed".to_owned()),
                completions: Some(shards),
                parallelism: Some(shards),
                // A node may be lost. What was falsified is not tried again: see below.
                backoff_limit_per_index: Some(1),
                max_failed_indexes: Some(shards),
                pod_failure_policy: Some(PodFailurePolicy {
                    rules: vec![falsified_is_final()],
                }),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta {
                        labels: Some(labels()),
                        ..ObjectMeta::default()
                    }),
                    spec: Some(self.pod()),
                },
                ..JobSpec::default()
            }),
            ..Job::default()
        }
    }

    fn pod(&self) -> PodSpec {
        PodSpec {
            restart_policy: Some("Never".to_owned()),
            automount_service_account_token: Some(false),
            security_context: Some(PodSecurityContext {
                fs_group: Some(GROUP),
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                ..PodSecurityContext::default()
            }),
            containers: vec![self.container()],
            volumes: Some(vec![
                Volume {
                    name: RESULTS.to_owned(),
                    persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                        claim_name: self.claim.clone(),
                        ..PersistentVolumeClaimVolumeSource::default()
                    }),
                    ..Volume::default()
                },
                Volume {
                    name: SCRATCH.to_owned(),
                    empty_dir: Some(EmptyDirVolumeSource::default()),
                    ..Volume::default()
                },
            ]),
            ..PodSpec::default()
        }
    }

    fn container(&self) -> Container {
        let arguments = [
            "matrix",
            "--run",
            "--platform",
            "linux",
            "--shard",
            &format!("index/{}", self.shards),
            "--report",
            "/results/$(JOB_COMPLETION_INDEX)",
        ];
        let needs = BTreeMap::from([
            ("cpu".to_owned(), Quantity(PROCESSORS.to_owned())),
            ("memory".to_owned(), Quantity(MEMORY.to_owned())),
        ]);
        Container {
            name: NAME.to_owned(),
            image: Some(self.image.clone()),
            args: Some(arguments.map(str::to_owned).to_vec()),
            // Everything that a run writes apart from its results: sockets, logs, the unpacked catalogue.
            env: Some(vec![EnvVar {
                name: "TMPDIR".to_owned(),
                value: Some("/scratch".to_owned()),
                ..EnvVar::default()
            }]),
            resources: Some(ResourceRequirements {
                requests: Some(needs.clone()),
                limits: Some(needs),
                ..ResourceRequirements::default()
            }),
            security_context: Some(SecurityContext {
                allow_privilege_escalation: Some(false),
                capabilities: Some(Capabilities {
                    drop: Some(vec!["ALL".to_owned()]),
                    ..Capabilities::default()
                }),
                read_only_root_filesystem: Some(true),
                run_as_non_root: Some(true),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(vec![mount(RESULTS), mount(SCRATCH)]),
            ..Container::default()
        }
    }
}

/// Exit code 1 says that something was falsified, 2 that the usage is wrong: no second try changes that.
fn falsified_is_final() -> PodFailurePolicyRule {
    PodFailurePolicyRule {
        action: "FailIndex".to_owned(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(NAME.to_owned()),
            operator: "In".to_owned(),
            values: vec![1, 2],
        }),
        ..PodFailurePolicyRule::default()
    }
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("app.kubernetes.io/name".to_owned(), NAME.to_owned())])
}

fn mount(name: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: format!("/{name}"),
        ..VolumeMount::default()
    }
}
