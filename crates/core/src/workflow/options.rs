use serde_json::Value;

/// The kinds that hold templates (Argo, `argoproj.io/v1alpha1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One run.
    Workflow,
    /// Templates of a namespace.
    WorkflowTemplate,
    /// Templates of the cluster.
    ClusterWorkflowTemplate,
    /// Runs by the clock.
    CronWorkflow,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Workflow, Self::WorkflowTemplate, Self::ClusterWorkflowTemplate, Self::CronWorkflow];

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workflow => "Workflow",
            Self::WorkflowTemplate => "WorkflowTemplate",
            Self::ClusterWorkflowTemplate => "ClusterWorkflowTemplate",
            Self::CronWorkflow => "CronWorkflow",
        }
    }

    /// The kind of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it outlives a run. What is written into such an object outlives the image that a tag names today, so only
    /// the index and digests count there.
    pub fn is_long_lived(self) -> bool {
        self != Self::Workflow
    }

    /// Where its workflow spec stands.
    pub(super) fn spec(self) -> &'static [&'static str] {
        match self {
            Self::CronWorkflow => &["spec", "workflowSpec"],
            _ => &["spec"],
        }
    }
}

/// Everything about workflow kinds that an operator decides.
#[derive(Debug, Clone)]
pub struct WorkflowOptions {
    /// The kinds that are filled.
    pub kinds: Vec<Kind>,
    /// What the controller adds by its own configuration.
    pub controller: ControllerDefaults,
}

impl Default for WorkflowOptions {
    fn default() -> Self {
        Self { kinds: vec![Kind::Workflow], controller: ControllerDefaults::default() }
    }
}

/// What the controller merges below a Workflow by its own configuration, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct ControllerDefaults {
    /// `workflowDefaults.spec.podSpecPatch`, which holds where the Workflow has none.
    pub pod_spec_patch: Option<String>,
    /// `workflowDefaults.spec.templateDefaults`, as JSON text.
    pub template_defaults: Option<String>,
    /// `mainContainer`, which is merged below each main container.
    pub main_container: Option<Value>,
}
