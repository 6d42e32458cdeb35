use crate::manifest::Problem;

/// What is wrong with the sources at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What is not in effect because it is not valid, or cannot be read; what was valid before is.
    pub problems: Vec<Problem>,
    /// What is valid and takes effect at the next start only.
    pub restart: Vec<Problem>,
}
