use std::fmt;

/// What a rendered pod does not show, or shows otherwise than it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A container without a command, whose image is not known: what would be wrapped is missing.
    Command {
        /// The container's name.
        container: String,
        /// Its image.
        image: String,
    },
    /// A volume that is mounted and that neither the template nor the Workflow has.
    Volume(String),
    /// A `podSpecPatch` that can be read only once its parameters are known: any field may be another by then.
    Patch(&'static str),
    /// A field that steps or tasks hand down, and not all of them the same.
    Callers(&'static str),
    /// The secret with the token of the executor's own service account, whose name only the cluster has.
    Token(String),
    /// `timeout` shortens `activeDeadlineSeconds` by what has passed when the pod is made.
    Timeout,
    /// The controller makes no pod of this, because of that.
    Refused(&'static str),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { container, image } => {
                write!(f, "container {container}: its command is not known, since what image {image:?} runs is not")
            }
            Self::Volume(name) => {
                write!(f, "volume {name:?} is mounted, and neither the template nor the Workflow has it")
            }
            Self::Patch(owner) => write!(f, "podSpecPatch of {owner} cannot be read before its parameters are known"),
            Self::Callers(field) => {
                write!(f, "{field}: handed down by the templates that call this one, which differ in it")
            }
            Self::Token(account) => {
                write!(f, "the name of the secret with the token of service account {account} is a guess")
            }
            Self::Timeout => {
                f.write_str("timeout shortens activeDeadlineSeconds by what has passed when the pod is made")
            }
            Self::Refused(why) => write!(f, "the controller makes no pod of this: {why}"),
        }
    }
}
