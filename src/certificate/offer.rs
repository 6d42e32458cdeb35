use super::Pair;

/// What a server is to serve, as far as its keeper knows by now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// The pair; `None` where there is none yet. What was offered once is not taken back.
    pub pair: Option<Pair>,
    /// What people should know about how it is kept, such as why it cannot be renewed. Public within the cluster.
    pub problem: Option<String>,
}
